#include <fmt/format.h>

#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "commands/command.h"
#include "subquad/error.h"
#include "texts/plain_text.h"

int main(int argc, char** argv) {
  try {
    return subquad::run_command_line(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const subquad::Error& error) {
    // Whatever of a file, a record or a plugin an error quotes, it must not drive the terminal.
    fmt::print(stderr, "subquad: {}\n", subquad::printable_lines(error.what()));
    return subquad::kExitUsage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "subquad: out of memory\n");
    return subquad::kExitSomePointsFailed;
  } catch (const std::exception& error) {
    fmt::print(stderr, "subquad: {} (this is a defect of the program or of a variant)\n",
               subquad::printable_lines(error.what()));
    return subquad::kExitSomePointsFailed;
  }
}
