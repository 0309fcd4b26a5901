import { copyBytes } from '../../bytes.js';
import { currentMitigations, platformTcb } from '../attestation/platform-tcb.js';
import type { FirmwareMachine } from '../command.js';
import { decodeIdBlock } from '../id-block.js';
import type { GuestContext } from '../state.js';
import type { ExportedContext } from './exported-context.js';

/**
 * A context that arrived takes the place of what the target had: keys, measurement, counts, identity. Memory key, ASID
 * and REPORT_ID are the target's own. That TCB and mitigations at launch become those of this platform is (U).
 */
export function enterContext(machine: FirmwareMachine, target: GuestContext, context: ExportedContext): void {
  target.ld = copyBytes(context.ld);
  target.imd = copyBytes(context.imd);
  target.oek = copyBytes(context.oek);
  target.oekIvCount = context.oekIvCount;
  target.vmpck = context.vmpck;
  context.messageCount.forEach((count, i) => {
    target.messageCount[i as 0] = count;
  });
  if (context.vmrk) target.vmrk = copyBytes(context.vmrk);
  else delete target.vmrk;
  if (context.rootMdata) target.rootMdata = copyBytes(context.rootMdata);
  else delete target.rootMdata;
  target.hostData = copyBytes(context.hostData);
  target.idKeyDigest = copyBytes(context.idKeyDigest);
  target.authorKeyDigest = copyBytes(context.authorKeyDigest);
  target.authorKeyEnabled = context.authorKeyEnabled;
  if (context.idBlock) target.idBlock = decodeIdBlock(context.idBlock);
  else delete target.idBlock;
  target.policy = context.policy;
  target.gosvw = copyBytes(context.gosvw);
  target.launchTcb = platformTcb(machine).current;
  target.launchMitigations = currentMitigations(machine);
  target.state = 'RUNNING';
}
