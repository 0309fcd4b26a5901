import type { DebugProtocol } from '@vscode/debugprotocol';

export const EXCEPTION_FILTERS: readonly DebugProtocol.ExceptionBreakpointsFilter[] = [
  {
    filter: 'fault',
    label: 'Faults',
    description: 'Stops at the check that makes the launch fail, in whichever layer it stands.',
    default: true,
  },
  {
    filter: 'refusal',
    label: 'Every refusal',
    description:
      'Stops also at refusals that the caller copes with, such as a CPUID page that is corrected and tried again.',
    default: false,
  },
  {
    filter: 'guest-entry',
    label: 'First guest instruction',
    description: 'Stops before the first instruction of each vCPU: after the launch, at the reset vector.',
    default: false,
  },
  {
    filter: 'guest-exception',
    label: 'Guest exceptions',
    description: 'Stops where the processor delivers an exception to the guest: #VC, #PF, #GP and so on.',
    default: false,
    supportsCondition: true,
    conditionDescription: 'Names of exceptions, such as #VC, #GP; empty for all',
  },
  {
    filter: 'rmp-fault',
    label: 'RMP faults',
    description: 'Stops at an exit or exception because an access of the guest failed the check of the RMP.',
    default: false,
  },
];

export const CAPABILITIES: DebugProtocol.Capabilities = {
  supportsConfigurationDoneRequest: true,
  supportsFunctionBreakpoints: true,
  supportsConditionalBreakpoints: true,
  supportsHitConditionalBreakpoints: true,
  supportsLogPoints: true,
  supportsBreakpointLocationsRequest: true,
  supportsEvaluateForHovers: true,
  supportsCompletionsRequest: true,
  completionTriggerCharacters: ['.', '('],
  supportsRestartRequest: true,
  supportsTerminateRequest: true,
  supportsExceptionInfoRequest: true,
  exceptionBreakpointFilters: [...EXCEPTION_FILTERS],
  supportsReadMemoryRequest: true,
  supportsWriteMemoryRequest: true,
  supportsDisassembleRequest: true,
  supportsInstructionBreakpoints: true,
  supportsSteppingGranularity: true,
  supportsSetVariable: true,
};
