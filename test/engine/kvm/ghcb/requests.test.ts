import { testGhcbCases } from './refusal-case.js';
import { REQUEST_CASES } from './request-cases.js';

describe('KVM refuses a VMGEXIT', () => testGhcbCases(REQUEST_CASES));
