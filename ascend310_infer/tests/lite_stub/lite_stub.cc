// Stands in for libmindspore-lite.so where there is no Ascend device: the calls of the Ascend branch
// behave as MindSpore Lite's own do. The network is nearest-neighbour upscaling plus 0.7, which
// rounds to the next whole number; in enforce_fp16 the 0.7 is lost, so that the mode shows.
//
// A model is a text file of three lines: `stub SCALE`, the input shape (`1 3 16 20`, -1 where it is
// open) and the shapes it is compiled for, if open, each followed by a semicolon
// (`1 3 16 20; 4 3 16 20;`). Every call writes a line to the file named by CSD_STUB_LOG.
// Devices 0 to 3 exist. libmindspore_converter.so must be found, which MindSpore Lite loads when it
// compiles a model.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <numeric>
#include <sstream>

#include "include/api/model.h"

namespace mindspore {
namespace {

using Shape = std::vector<int64_t>;

constexpr uint32_t devices = 4;

void log(const std::string& line) {
  const char* path = std::getenv("CSD_STUB_LOG");
  if (path != nullptr) std::ofstream(path, std::ios::app) << line << "\n";
}

std::string text_of(const Shape& shape) {
  std::string text;
  for (const int64_t side : shape) text += (text.empty() ? "" : "x") + std::to_string(side);
  return text;
}

Shape shape_of(const std::string& text) {
  std::istringstream words(text);
  Shape shape;
  for (int64_t side; words >> side;) shape.push_back(side);
  return shape;
}

bool is_open(const Shape& shape) {
  return std::any_of(shape.begin(), shape.end(), [](int64_t side) { return side < 0; });
}

}  // namespace

MSTensor::MSTensor(std::vector<int64_t> shape) : data_(std::make_shared<Contents>()) {
  const int64_t size = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  if (!is_open(shape)) data_->values.resize(static_cast<size_t>(size));
  data_->shape = std::move(shape);
}

std::shared_ptr<const void> MSTensor::Data() const { return {data_, data_->values.data()}; }

void* MSTensor::MutableData() { return data_->values.empty() ? nullptr : data_->values.data(); }

// An unknown mode is ignored: MindSpore Lite only logs it.
void AscendDeviceInfo::SetPrecisionMode(const std::string& mode) {
  for (const char* known : {"enforce_fp32", "preferred_fp32", "enforce_fp16", "enforce_origin",
                            "preferred_optimal"}) {
    if (mode == known) precision_mode_ = mode;
  }
}

class ModelImpl {
 public:
  bool read(const std::string& path) {
    std::ifstream file(path);
    std::string kind;
    std::string line;
    if (!(file >> kind >> scale) || kind != "stub") return false;
    std::getline(file, line);
    std::getline(file, line);
    inputs.assign(1, MSTensor(shape_of(line)));
    while (std::getline(file, line, ';')) {
      if (const Shape shape = shape_of(line); !shape.empty()) compiled.push_back(shape);
    }
    return inputs.front().Shape().size() == 4;
  }

  bool start(Context& context) {
    if (context.MutableDeviceInfo().size() != 1) return false;
    if (dlopen("libmindspore_converter.so", RTLD_LAZY) == nullptr) return false;
    const auto* ascend = dynamic_cast<AscendDeviceInfo*>(context.MutableDeviceInfo().front().get());
    if (ascend == nullptr) {
      log("CPU, threads " + std::to_string(context.GetThreadNum()));
      return true;
    }
    on_ascend = true;
    coarse = ascend->GetPrecisionMode() == "enforce_fp16";
    log("Ascend, device " + std::to_string(ascend->GetDeviceID()) + ", rank " +
        std::to_string(ascend->GetRankID()) + ", " + ascend->GetPrecisionMode());
    return ascend->GetDeviceID() < devices;
  }

  // On Ascend: only what the model is compiled for. On the CPU: anything.
  bool takes(const Shape& wanted) const {
    return !on_ascend || std::find(compiled.begin(), compiled.end(), wanted) != compiled.end();
  }

  void upscale(const float* from, float* to) const {
    const Shape& shape = inputs.front().Shape();
    const int64_t height = shape[2] * scale;
    const int64_t width = shape[3] * scale;
    for (int64_t plane = 0; plane < shape[0] * shape[1]; ++plane) {
      for (int64_t y = 0; y < height; ++y) {
        for (int64_t x = 0; x < width; ++x) {
          const float value = from[(plane * shape[2] + y / scale) * shape[3] + x / scale];
          *to++ = coarse ? value : value + 0.7F;
        }
      }
    }
  }

  int64_t scale = 0;
  bool on_ascend = false;
  bool coarse = false;
  std::vector<Shape> compiled;
  std::vector<MSTensor> inputs;
};

Model::Model() : impl_(std::make_unique<ModelImpl>()) {}
Model::~Model() = default;

Status Model::Build(const std::string& path, ModelType /*type*/,
                    const std::shared_ptr<Context>& context) {
  return impl_->start(*context) && impl_->read(path) ? kSuccess : kLiteError;
}

std::vector<MSTensor> Model::GetInputs() { return impl_->inputs; }

Status Model::Resize(const std::vector<MSTensor>& /*inputs*/, const std::vector<Shape>& dims) {
  log("resize " + text_of(dims.front()));
  if (!impl_->takes(dims.front())) return kLiteError;
  impl_->inputs.assign(1, MSTensor(dims.front()));
  return kSuccess;
}

Status Model::Predict(const std::vector<MSTensor>& inputs, std::vector<MSTensor>* outputs) {
  MSTensor input = inputs.front();
  if (input.MutableData() == nullptr) return kLiteError;
  Shape shape = input.Shape();
  log("predict " + text_of(shape));
  shape[2] *= impl_->scale;
  shape[3] *= impl_->scale;
  // Outputs that the caller brings are written into, so they must have the right size.
  if (outputs->empty()) outputs->push_back(MSTensor(shape));
  if (outputs->front().Shape() != shape) return kLiteError;
  impl_->upscale(static_cast<const float*>(input.MutableData()),
                 static_cast<float*>(outputs->front().MutableData()));
  return kSuccess;
}

}  // namespace mindspore
