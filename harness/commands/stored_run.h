#pragma once

#include <string>

#include "records/store.h"

namespace subquad {

/// The folder of a run that a command line names: itself, or its name below results/ or
/// results/recorded/. Error if there is none.
std::string find_run(const std::string& word);

/// Its records; what of its file was left out is said on standard error.
StoredRecords read_run(const std::string& word);

}  // namespace subquad
