// What csd_infer uses of MindSpore Lite's status.h.
#pragma once

namespace mindspore {

enum StatusCode { kSuccess = 0, kLiteError = 1 };

class Status {
 public:
  Status(enum StatusCode code) : code_(code) {}  // NOLINT: as MindSpore Lite's
  bool IsOk() const { return code_ == kSuccess; }

 private:
  enum StatusCode code_;
};

}  // namespace mindspore
