// Tables and rows as the report's JSON has them, for tests.

export function tableOf(setting = {}) {
  return { machine: 'm', input: 'gaussian', keys: 512, queries: setting.keys ?? 512, causal: false, direction: 'forward', threads: 1, batch: 1, heads: 2,
    key_heads: 2, dim: 64, value_dim: 64, series: 0, rows: [], beaten_by_control: {}, choices: [], ...setting };
}

export function rowOf(variant, figures = {}, setting = {}) {
  return { variant, resolved: variant, family: variant.split('(')[0], target: 'restriction', status: 'ok', remark: '', time: null, speed_up: null,
    efficiency: null, useful_flops_per_second: null, executed_flops_per_second: null, memory_bytes: null, scratch_bytes: null, state_bytes: null,
    parameter_bytes: null, relative_error: null, relative_error_deviation: null, target_relative_error: null, dropped_mass: null, roofline: null,
    on_frontier: false, stale: false, unstable: false, seeds: [], table: tableOf(setting), ...figures };
}
