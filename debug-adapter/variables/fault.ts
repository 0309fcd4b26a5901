import { explainFault, type Fault, formatCode } from '../../engine/fault.js';
import { operandView } from './frame.js';
import { groupView, member, textView, type View } from './view.js';

/** A fault with its operands, and inside it the fault of the layer below that caused it. */
export function faultView(fault: Fault): View {
  return groupView(
    fault.title,
    () => [
      member('check', textView(fault.check)),
      member('layer', textView(fault.layer)),
      member('command', textView(fault.command)),
      member('code', textView(formatCode(fault.code))),
      member('message', textView(fault.message)),
      member('hint', textView(fault.hint)),
      member('reference', textView(fault.reference)),
      member(
        'operands',
        groupView(String(Object.keys(fault.operands).length), () =>
          Object.entries(fault.operands).map(([name, value]) => member(name, operandView(value))),
        ),
      ),
      ...(fault.cause ? [member('cause', faultView(fault.cause))] : []),
      member('explanation', textView(explainFault(fault))),
    ],
    'fault',
  );
}
