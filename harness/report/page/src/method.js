// Where the numbers come from.
import { h } from './dom.js';
import { bytes, count, moment, significant } from './format.js';
import { counted } from './data.js';

const unique = (values) => [...new Set(values)];

function pairs(entries) {
  return h('dl', { class: 'figures' }, entries.filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([term, value]) => [h('dt', {}, term), h('dd', {}, value)]));
}

const gflops = (figure) => (figure ? `${significant(figure.one_core)} GFLOP/s on one core, ${significant(figure.all_cores)} on all` : null);

function machinePart(machine) {
  const known = machine.cpu !== undefined;
  return [h('h3', {}, 'Machine ', h('code', {}, machine.identity)), known ? pairs([
    ['processor', `${machine.cpu}, ${machine.instruction_set}${machine.virtual_machine ? ', virtual machine' : ''}`],
    ['usable processors', machine.usable_processors], ['memory', bytes(machine.memory_bytes)],
    ['compiler', `${machine.compiler}, ${machine.flags}`], ['commit', machine.commit], ['system', machine.kernel],
    ['peak, float32', gflops(machine.peak?.float32_gflops)], ['peak, bf16', gflops(machine.peak?.bf16_gflops)],
    ['libraries', Object.entries(machine.libraries ?? {}).map(([name, version]) => `${name} ${version}`).join(', ')],
  ]) : h('p', { class: 'note' }, 'No machine.json describes it.')];
}

/** What the records themselves say of how they were made. */
function recordPart(model) {
  const records = [...model.lines.keys()].map(model.record);
  const rounds = records.flatMap((record) => record.rounds);
  const times = rounds.map((round) => round.unix_time).filter((seconds) => seconds > 0).sort((a, b) => a - b);
  const numbers = (values) => unique(values).sort((a, b) => a - b).map(count).join(', ');
  const sampled = unique(records.filter((record) => record.sampled).map((record) => record.reference_rows));
  return pairs([
    ['points', `${count(records.length)} in ${counted(model.tables.length, 'table')}`],
    ['experiment', unique(records.map((record) => record.experiment)).join(', ')],
    ['measured', times.length ? `${moment(times[0])} to ${moment(times.at(-1))}` : null],
    ['builds', unique(records.map((record) => record.build)).join(', ')],
    ['threads', numbers(records.map((record) => record.threads))],
    ['rounds', rounds.length ? `${numbers(records.filter((record) => record.rounds.length).map((record) => record.rounds.length))} per point, in shuffled order` : null],
    ['speed-ups over', unique(model.tables.map((table) => table.anchor ?? 'nothing')).join(', ')],
    ['query rows of an error', sampled.length ? `a seeded sample of ${numbers(sampled)} per head where there are more` : 'all'],
    ['seeds', numbers(records.map((record) => record.seed))],
  ]);
}

const method = [
  'Every point ran in a process of its own, was checked first and timed then; a point whose check failed is mistrusted, and has no speed-up.',
  'Time: Google Benchmark, one pass over all points of a group per round, in shuffled order and with the anchor in each; a speed-up is the median over rounds of the anchor’s time over the variant’s in the same round.',
  'Error: relative Frobenius norm of the output’s difference from dense attention in double. What computes something else by design has a distance, which is no error.',
  'Memory: scratch is the most taken from arenas, with what was allocated beside them, choices and heads put together; parameters are learned and random tensors.',
];

export function mountMethod(section, page) {
  const { model } = page;
  section.append(recordPart(model), model.machines.map(machinePart).flat(2).reduce((all, node) => {
    all.append(node);
    return all;
  }, h('div')), h('h3', {}, 'How numbers come about'), h('ul', {}, method.map((text) => h('li', {}, text))),
  h('h3', {}, 'How to read them'), h('ul', {}, model.report.legend.map((text) => h('li', {}, text))));
  for (const { name, config } of model.runs) {
    if (config) section.append(h('details', {}, h('summary', {}, 'Experiment of ', h('code', {}, name)), h('pre', {}, config)));
  }
}
