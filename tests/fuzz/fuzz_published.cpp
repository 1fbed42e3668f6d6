// Any text is a table of published values or refused. One that is accepted can be judged with
// nothing measured, which works out the formulas of all its cells, and rendered, or is refused
// then.

#include "fuzz.h"
#include "reproducing/judge.h"
#include "reproducing/render.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace subquad;
  PublishedTable table;
  if (!fuzz::accepts(
          [&] { table = parse_published_table(fuzz::text_of(data, size), "x.published.json"); })) {
    return 0;
  }
  fuzz::accepts([&] {
    const Summary nothing;
    const JudgedTable judged = judge(table, nothing);
    fuzz::require(judged.panels.size() == table.panels.size(), "every panel is judged");
    for (const JudgedPanel& panel : judged.panels) {
      fuzz::require(panel.cells.size() == panel.panel->rows.size(), "every row is judged");
    }
  });
  return 0;
}
