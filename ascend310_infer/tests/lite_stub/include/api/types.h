// What csd_infer uses of MindSpore Lite's types.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace mindspore {

enum ModelType { kMindIR = 0 };

enum class DataType { kNumberTypeFloat16 = 42, kNumberTypeFloat32 = 43 };

// As in MindSpore Lite, copies of a tensor share their data.
class MSTensor {
 public:
  explicit MSTensor(std::vector<int64_t> shape);

  enum DataType DataType() const { return DataType::kNumberTypeFloat32; }
  const std::vector<int64_t>& Shape() const { return data_->shape; }
  std::shared_ptr<const void> Data() const;
  void* MutableData();
  size_t DataSize() const { return data_->values.size() * sizeof(float); }

 private:
  struct Contents {
    std::vector<int64_t> shape;
    std::vector<float> values;  // none while a dimension is open
  };
  std::shared_ptr<Contents> data_;
};

}  // namespace mindspore
