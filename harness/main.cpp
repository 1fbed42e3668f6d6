#include <fmt/format.h>

#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "commands/command.h"
#include "subquad/error.h"

int main(int argc, char** argv) {
  try {
    return subquad::run_command_line(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const subquad::Error& error) {
    fmt::print(stderr, "subquad: {}\n", error.what());
    return subquad::kExitUsage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "subquad: out of memory\n");
    return subquad::kExitSomePointsFailed;
  } catch (const std::exception& error) {
    fmt::print(stderr, "subquad: {} (this is a defect of the program or of a variant)\n",
               error.what());
    return subquad::kExitSomePointsFailed;
  }
}
