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
  supportsDelayedStackTraceLoading: true,
};
