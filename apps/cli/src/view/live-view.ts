import type { FetchLiveData, ToolEnvelope } from '@coral/tools';
import { footLines, headLines, sections } from './envelope-view.js';
import { dataTable } from './query-view.js';
import { formatTime } from './words.js';

export function liveView(envelope: ToolEnvelope<FetchLiveData>, width: number): string[] {
  const { agent_id, as_of } = envelope.data;
  const title = `agent ${agent_id}, as of ${formatTime(as_of)} UTC`;
  return sections(headLines(envelope, title), dataTable(envelope.data, width), footLines(envelope));
}
