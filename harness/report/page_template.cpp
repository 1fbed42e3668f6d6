#include "report/page.h"

#ifdef SUBQUAD_PAGE_FILE

// Half a megabyte, which as a literal would be beyond what compilers have to take.
__asm__(
    ".pushsection .rodata, \"a\"\n"
    ".hidden subquad_page_begin\n"
    ".hidden subquad_page_end\n"
    ".global subquad_page_begin\n"
    ".global subquad_page_end\n"
    "subquad_page_begin:\n"
    ".incbin \"" SUBQUAD_PAGE_FILE
    "\"\n"
    "subquad_page_end:\n"
    ".popsection\n");
extern "C" {
__attribute__((visibility("hidden"))) extern const char subquad_page_begin[];
__attribute__((visibility("hidden"))) extern const char subquad_page_end[];
}

#endif

namespace subquad {

std::optional<std::string_view> page_template() {
#ifdef SUBQUAD_PAGE_FILE
  return std::string_view(subquad_page_begin,
                          static_cast<std::size_t>(subquad_page_end - subquad_page_begin));
#else
  return std::nullopt;
#endif
}

}  // namespace subquad
