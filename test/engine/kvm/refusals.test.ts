import { DEV_SEV_CASES } from './cases/dev-sev-cases.js';
import { testCases } from './cases/kvm-case.js';
import { MEMORY_CASES } from './cases/memory-cases.js';
import { START_CASES } from './cases/start-cases.js';
import { UPDATE_CASES } from './cases/update-cases.js';
import { VM_CASES } from './cases/vm-cases.js';

describe('KVM refuses', () => {
  describe('VM, vCPU, envelope, INIT2', () => testCases(VM_CASES));
  describe('guest_memfd, slots, attributes', () => testCases(MEMORY_CASES));
  describe('host boot, LAUNCH_START, teardown', () => testCases(START_CASES));
  describe('LAUNCH_UPDATE, LAUNCH_FINISH', () => testCases(UPDATE_CASES));
  describe('/dev/sev, shutdown', () => testCases(DEV_SEV_CASES));
});
