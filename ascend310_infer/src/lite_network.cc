#include "lite_network.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <thread>
#include <utility>

#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/status.h"
#include "include/api/types.h"
#include "files.h"
#include "profiles.h"
#include "upscale.h"

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
    if (!device.precision.empty()) info->SetPrecisionMode(device.precision);
    context->MutableDeviceInfo().push_back(info);
  } else {
    auto info = std::make_shared<lite::CPUDeviceInfo>();
    info->SetEnableFP16(false);
    context->MutableDeviceInfo().push_back(info);
  }
  return context;
}

// A loaded model: what is common to the networks of its sizes.
class LiteModel {
 public:
  LiteModel(const std::string& path, const Device& device) : path_(path) {
    require_file(path);
    check_digest(path);
    const lite::Status built = model_.Build(path, lite::ModelType::kMindIR, make_context(device));
    if (!built.IsOk()) throw Error(build_failure(device));
  }

  int scale() const { return scale_; }

  // (N, 3, H, W), with -1 or 0 where it is open.
  Shape input_shape() {
    const std::vector<lite::MSTensor> inputs = model_.GetInputs();
    if (inputs.size() != 1) {
      throw Error(path_ + " has " + std::to_string(inputs.size()) + " inputs instead of 1");
    }
    const Shape shape = inputs.front().Shape();
    const bool images = shape.size() == 4 && shape[1] == 3 &&
                        inputs.front().DataType() == lite::DataType::kNumberTypeFloat32;
    if (!images) {
      throw Error(path_ + " takes " + text_of(shape) + ", not float32 images (N, 3, H, W)");
    }
    return shape;
  }

  // See Network::run. `remedy` ends the sentence about a size that the model does not take.
  const float* run(const std::vector<float>& input, const Shape& wanted, const std::string& remedy) {
    std::vector<lite::MSTensor> inputs = model_.GetInputs();
    if (inputs.front().Shape() != wanted) {
      outputs_.clear();  // MindSpore Lite would write into these, of the size before
      if (!model_.Resize(inputs, {wanted}).IsOk()) {
        throw Error(path_ + " cannot take an input of " + text_of(wanted) + "; " + remedy);
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
    check_output(wanted);
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

  // Reads the scale off the first output; later ones must agree with it.
  void check_output(const Shape& input) {
    const Shape shape = outputs_.front().Shape();
    const int64_t scale = shape.size() == 4 ? shape[2] / input[2] : 0;
    const bool right = scale >= 1 && shape == Shape{input[0], 3, scale * input[2], scale * input[3]} &&
                       (scale_ == 0 || scale == scale_) &&
                       outputs_.front().DataType() == lite::DataType::kNumberTypeFloat32;
    output_ = outputs_.front().Data();
    if (!right || output_ == nullptr) {
      throw Error(path_ + " gives " + text_of(shape) + " for an input of " + text_of(input) +
                  ": not a super-resolution network");
    }
    scale_ = static_cast<int>(scale);
  }

  std::string path_;
  lite::Model model_;
  std::vector<lite::MSTensor> outputs_;
  std::shared_ptr<const void> output_;
  int scale_ = 0;
};

// A loaded model in one size (0 x 0: any), with the batches it takes there, in ascending order.
class LiteNetwork : public Network {
 public:
  LiteNetwork(std::shared_ptr<LiteModel> model, int height, int width, std::vector<int> batches,
              std::string remedy)
      : model_(std::move(model)), height_(height), width_(width), batches_(std::move(batches)),
        remedy_(std::move(remedy)) {
    const int h = height_ > 0 ? height_ : 32;
    const int w = width_ > 0 ? width_ : 32;
    for (int batch : batches_) {
      run(std::vector<float>(static_cast<size_t>(3) * h * w * batch, 128.0F), batch, h, w);
    }
  }

  int height() const override { return height_; }
  int width() const override { return width_; }
  int scale() const override { return model_->scale(); }

  int batch(int remaining) const override { return choose_batch(batches_, remaining); }

  const float* run(const std::vector<float>& input, int batch, int height, int width) override {
    return model_->run(input, {batch, 3, height, width}, remedy_);
  }

 private:
  std::shared_ptr<LiteModel> model_;
  int height_;
  int width_;
  std::vector<int> batches_;
  std::string remedy_;
};

using Networks = std::vector<std::unique_ptr<Network>>;

// The networks of a model that takes the sizes of `config`.
Networks networks_of_profiles(const std::shared_ptr<LiteModel>& model,
                              const std::vector<Profile>& profiles, const std::string& config,
                              int batch) {
  std::map<std::pair<int, int>, std::vector<int>> sizes;
  for (const Profile& profile : profiles) {
    if (batch == 0 || profile.batch == batch) {
      sizes[{profile.height, profile.width}].push_back(profile.batch);
    }
  }
  if (sizes.empty()) {
    throw Error("--batch " + std::to_string(batch) + " is none of the batches in " + config);
  }
  Networks networks;
  for (auto& [size, batches] : sizes) {
    std::sort(batches.begin(), batches.end());
    networks.push_back(std::make_unique<LiteNetwork>(model, size.first, size.second, batches,
                                                     "is " + config + " what it was converted with?"));
  }
  return networks;
}

}  // namespace

Networks load_networks(const std::string& path, const Device& device, int batch) {
  const auto model = std::make_shared<LiteModel>(path, device);
  const Shape shape = model->input_shape();
  const std::string config = config_of(path);
  if (access(config.c_str(), F_OK) == 0) {
    require_file(config);
    const std::vector<Profile> profiles = read_profiles(config);
    if (!profiles.empty()) return networks_of_profiles(model, profiles, config, batch);
  }
  const bool fixed = shape[2] > 0 && shape[3] > 0;
  if (device.name == "Ascend" && (!fixed || shape[0] <= 0)) {
    throw Error(path + " takes " + text_of(shape) + ", and an Ascend device only sizes that it is "
                "compiled for: keep the configuration file of converter_lite, with dynamic_dims, as " +
                config);
  }
  const int own_batch = static_cast<int>(std::max<int64_t>(1, shape[0]));
  Networks networks;
  networks.push_back(std::make_unique<LiteNetwork>(
      model, fixed ? static_cast<int>(shape[2]) : 0, fixed ? static_cast<int>(shape[3]) : 0,
      std::vector<int>{batch > 0 ? batch : own_batch},
      "export it with this size or leave --batch out"));
  return networks;
}

}  // namespace csd
