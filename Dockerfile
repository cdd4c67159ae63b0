# Image with poa_mm and the tested set of packages.
#   docker build -t poa_mm .                                          GPU (PyTorch's wheels bring CUDA)
#   docker build -t poa_mm:cpu --build-arg TORCH_BACKEND=cpu .        CPU
#   docker run --rm --gpus all --ipc=host -v $PWD/data:/poa_mm/data -v $PWD/work_dirs:/poa_mm/work_dirs poa_mm \
#     tools/dist_train.sh configs/poa_vitl.py 8
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

# g++ for torch.compile, git for the revision in logs
RUN apt-get update && apt-get install -y --no-install-recommends g++ git make && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv

WORKDIR /poa_mm
COPY . .
# uv chooses PyTorch's build by this: cpu, cu130, ....
ARG TORCH_BACKEND=cu130
ENV UV_TORCH_BACKEND=${TORCH_BACKEND}
RUN make env
ENV PATH=/poa_mm/.venv/bin:$PATH
CMD ["poa", "--help"]
