#include "lite_network.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/status.h"
#include "include/api/types.h"

namespace csd {
namespace {

namespace lite = mindspore;

using Shape = std::vector<int64_t>;

std::string text_of(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

std::shared_ptr<lite::Context> make_context(const Device& device) {
  auto context = std::make_shared<lite::Context>();
  const int processors = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  context->SetThreadNum(device.threads > 0 ? device.threads : processors);
  if (device.name == "Ascend") {
    auto info = std::make_shared<lite::AscendDeviceInfo>();
    info->SetDeviceID(static_cast<uint32_t>(device.id));
    context->MutableDeviceInfo().push_back(info);
  } else {
    auto info = std::make_shared<lite::CPUDeviceInfo>();
    info->SetEnableFP16(false);
    context->MutableDeviceInfo().push_back(info);
  }
  return context;
}

class LiteNetwork : public Network {
 public:
  LiteNetwork(const std::string& path, const Device& device, int batch) : path_(path) {
    if (access(path.c_str(), R_OK) != 0) throw Error(path + ": " + std::strerror(errno));
    const lite::Status built = model_.Build(path, lite::ModelType::kMindIR, make_context(device));
    if (!built.IsOk()) throw Error(build_failure(device));
    read_input();
    if (batch > 0) batch_ = batch;
    const int height = height_ > 0 ? height_ : 32;
    const int width = width_ > 0 ? width_ : 32;
    run(std::vector<float>(static_cast<size_t>(3) * height * width * batch_, 128.0F), batch_,
        height, width);
  }

  int height() const override { return height_; }
  int width() const override { return width_; }
  int batch() const override { return batch_; }
  int scale() const override { return scale_; }

  const float* run(const std::vector<float>& input, int /*count*/, int height,
                   int width) override {
    const Shape wanted{batch_, 3, height, width};
    std::vector<lite::MSTensor> inputs = model_.GetInputs();
    if (inputs.front().Shape() != wanted) {
      if (!model_.Resize(inputs, {wanted}).IsOk()) {
        throw Error(path_ + " cannot take an input of " + text_of(wanted) +
                    "; export it with this size or leave --batch out");
      }
      inputs = model_.GetInputs();
    }
    void* data = inputs.front().MutableData();
    const size_t bytes = input.size() * sizeof(float);
    if (data == nullptr || inputs.front().DataSize() != bytes) {
      throw Error(path_ + ": MindSpore Lite gave no input of " + text_of(wanted));
    }
    std::memcpy(data, input.data(), bytes);
    if (!model_.Predict(inputs, &outputs_).IsOk() || outputs_.size() != 1) {
      throw Error(path_ + ": MindSpore Lite could not run an input of " + text_of(wanted));
    }
    check_output(height, width);
    return static_cast<const float*>(output_.get());
  }

 private:
  std::string build_failure(const Device& device) const {
    std::ifstream file(path_, std::ios::binary);
    if (!file.good() || file.peek() == std::ifstream::traits_type::eof()) {
      return path_ + " is empty or cannot be read";
    }
    if (device.name == "Ascend") {
      return "MindSpore Lite could not load " + path_ + " on Ascend device " +
             std::to_string(device.id) +
             "; is it there (npu-smi info), is CANN's set_env.sh sourced, and is this a MINDIR?";
    }
    return path_ + " is not a MINDIR that this MindSpore Lite can run (damaged, another kind of "
                   "file, or written by a newer MindSpore)";
  }

  void read_input() {
    const std::vector<lite::MSTensor> inputs = model_.GetInputs();
    if (inputs.size() != 1) {
      throw Error(path_ + " has " + std::to_string(inputs.size()) + " inputs instead of 1");
    }
    const Shape shape = inputs.front().Shape();
    const bool pictures = shape.size() == 4 && shape[1] == 3 &&
                          inputs.front().DataType() == lite::DataType::kNumberTypeFloat32;
    if (!pictures) {
      throw Error(path_ + " takes " + text_of(shape) + ", not float32 pictures (N, 3, H, W)");
    }
    batch_ = static_cast<int>(std::max<int64_t>(1, shape[0]));
    const bool fixed = shape[2] > 0 && shape[3] > 0;
    height_ = fixed ? static_cast<int>(shape[2]) : 0;
    width_ = fixed ? static_cast<int>(shape[3]) : 0;
  }

  // Reads the scale off the first output; later ones must agree with it.
  void check_output(int height, int width) {
    const Shape shape = outputs_.front().Shape();
    const int64_t scale = shape.size() == 4 ? shape[2] / height : 0;
    const bool right = scale >= 1 && shape == Shape{batch_, 3, scale * height, scale * width} &&
                       (scale_ == 0 || scale == scale_) &&
                       outputs_.front().DataType() == lite::DataType::kNumberTypeFloat32;
    output_ = outputs_.front().Data();
    if (!right || output_ == nullptr) {
      throw Error(path_ + " gives " + text_of(shape) + " for an input of " +
                  text_of({batch_, 3, height, width}) + ": not a super-resolution network");
    }
    scale_ = static_cast<int>(scale);
  }

  std::string path_;
  lite::Model model_;
  std::vector<lite::MSTensor> outputs_;
  std::shared_ptr<const void> output_;
  int height_ = 0;
  int width_ = 0;
  int batch_ = 1;
  int scale_ = 0;
};

}  // namespace

std::unique_ptr<Network> load_network(const std::string& path, const Device& device, int batch) {
  return std::make_unique<LiteNetwork>(path, device, batch);
}

}  // namespace csd
