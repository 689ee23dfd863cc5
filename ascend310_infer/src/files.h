// Files that a user names: read when they are regular files, written anew, failures in one sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace csd {

// The bytes of a regular file. A pipe or a device is refused and never waited for.
// Throws Error: no such file, no regular file, unreadable.
std::vector<uint8_t> read_file(const std::string& path);

// Throws Error unless `path` is a regular file that can be read; it may be a link to one.
void require_file(const std::string& path);

// Writes all bytes into a new file and flushes them to the disk, under a temporary name that is
// renamed: a link to a file is replaced, the file behind it stays. A pipe or a device that has the
// name is written into.
// Throws Error: the folder, the name, a full disk, a limit on the size of files.
void write_file(const std::string& path, const void* bytes, size_t size);

// SHA-256 of the bytes, as 64 lower-case hexadecimal digits.
std::string sha256(const std::vector<uint8_t>& bytes);

// Compares a model with the digest in its description, `<model>.json`, which export.py wrote; a model
// that has none is taken as it is. Throws Error when they differ.
void check_digest(const std::string& model);

}  // namespace csd
