// What csd_infer uses of MindSpore Lite's context.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mindspore {

enum DeviceType { kCPU = 0, kAscend = 3 };

class DeviceInfoContext {
 public:
  virtual ~DeviceInfoContext() = default;
  virtual enum DeviceType GetDeviceType() const = 0;
};

class CPUDeviceInfo : public DeviceInfoContext {
 public:
  enum DeviceType GetDeviceType() const override { return kCPU; }
  void SetEnableFP16(bool) {}
};

class AscendDeviceInfo : public DeviceInfoContext {
 public:
  enum DeviceType GetDeviceType() const override { return kAscend; }
  void SetDeviceID(uint32_t id) { device_id_ = id; }
  uint32_t GetDeviceID() const { return device_id_; }
  void SetRankID(uint32_t id) { rank_id_ = id; }  // of distributed inference
  uint32_t GetRankID() const { return rank_id_; }
  void SetPrecisionMode(const std::string& mode);
  std::string GetPrecisionMode() const { return precision_mode_; }

 private:
  uint32_t device_id_ = 0;
  uint32_t rank_id_ = 0;
  std::string precision_mode_ = "enforce_fp16";
};

class Context {
 public:
  void SetThreadNum(int32_t number) { threads_ = number; }
  int32_t GetThreadNum() const { return threads_; }
  std::vector<std::shared_ptr<DeviceInfoContext>>& MutableDeviceInfo() { return devices_; }

 private:
  int32_t threads_ = 0;
  std::vector<std::shared_ptr<DeviceInfoContext>> devices_;
};

}  // namespace mindspore
