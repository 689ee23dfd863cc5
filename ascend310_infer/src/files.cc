#include "files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "network.h"

namespace csd {
namespace {

// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  int number() const { return number_; }

 private:
  const int number_;
};

int open_regular(const std::string& path) {
  // O_NONBLOCK: a pipe that nobody writes to opens at once instead of never.
  const int number = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (number < 0) throw Error(path + ": " + std::strerror(errno));
  struct stat facts {};
  const bool regular = fstat(number, &facts) == 0 && S_ISREG(facts.st_mode);
  if (regular) return number;
  close(number);
  throw Error(path + (S_ISDIR(facts.st_mode) ? " is a folder, not a file"
                                             : " is a pipe, socket or device, not a file"));
}

// 0, or the number of the error.
int write_all(int file, const uint8_t* bytes, size_t size) {
  while (size > 0) {
    const ssize_t done = write(file, bytes, size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    bytes += done;
    size -= static_cast<size_t>(done);
  }
  return fsync(file) == 0 || errno == EINVAL ? 0 : errno;  // EINVAL: no disk behind it
}

// A pipe or a device that is there, such as /dev/stdout: nothing may replace it.
int write_in_place(const std::string& path, const uint8_t* bytes, size_t size) {
  const Descriptor file(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (file.number() < 0) return errno;
  fcntl(file.number(), F_SETFL, 0);  // without a reader a pipe would not have opened
  return write_all(file.number(), bytes, size);
}

int write_and_rename(const std::string& partial, const std::string& path, const uint8_t* bytes,
                     size_t size) {
  unlink(partial.c_str());
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const Descriptor file(open(partial.c_str(), flags, 0666));
  if (file.number() < 0) return errno;
  if (const int reason = write_all(file.number(), bytes, size)) return reason;
  return std::rename(partial.c_str(), path.c_str()) == 0 ? 0 : errno;
}

// The digest in a description; empty where there is none. Of all of its text only this is needed.
std::string digest_in(std::string_view description) {
  constexpr std::string_view key = "\"file_sha256\"";
  size_t at = description.find(key);
  if (at == std::string_view::npos) return "";
  at = description.find_first_not_of(" \t\r\n:", at + key.size());
  if (at == std::string_view::npos || description[at] != '"') return "?";
  const size_t end = description.find('"', at + 1);
  return end == std::string_view::npos ? "?" : std::string(description.substr(at + 1, end - at - 1));
}

}  // namespace

std::vector<uint8_t> read_file(const std::string& path) {
  const Descriptor file(open_regular(path));
  std::vector<uint8_t> bytes;
  uint8_t block[1 << 16];
  while (true) {
    const ssize_t got = read(file.number(), block, sizeof(block));
    if (got == 0) return bytes;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(path + ": " + std::strerror(errno));
    bytes.insert(bytes.end(), block, block + got);
  }
}

void require_file(const std::string& path) { const Descriptor file(open_regular(path)); }

void write_file(const std::string& path, const void* bytes, size_t size) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  struct stat facts {};
  const bool in_place = stat(path.c_str(), &facts) == 0 && !S_ISREG(facts.st_mode);
  // One short name for all, so that a name of 255 bytes can be written too.
  const std::string folder = path.substr(0, path.rfind('/') + 1);  // npos + 1 is 0
  const std::string partial = folder + ".csd_infer." + std::to_string(getpid()) + ".part";
  const int reason = in_place ? write_in_place(path, from, size)
                              : write_and_rename(partial, path, from, size);
  if (reason == 0) return;
  if (!in_place) std::remove(partial.c_str());
  throw Error("cannot write " + path + ": " + std::strerror(reason) +
              (reason == EFBIG ? " (the limit on the size of files, ulimit -f)" : ""));
}

void check_digest(const std::string& model) {
  const std::string description = model + ".json";
  if (access(description.c_str(), F_OK) != 0) return;
  const std::vector<uint8_t> text = read_file(description);
  const std::string wanted =
      digest_in({reinterpret_cast<const char*>(text.data()), text.size()});
  if (wanted.empty() || wanted == sha256(read_file(model))) return;
  throw Error(model + " is damaged or not the file that " + description +
              " describes (SHA-256 differs); export it again");
}

}  // namespace csd
