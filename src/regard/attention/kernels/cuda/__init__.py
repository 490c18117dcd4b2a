"""The fused pass for NVIDIA GPUs, in Triton."""
