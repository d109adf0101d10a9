"""Makes the files beside it with PyTorch (2.13.0, CPU): checkpoints in its formats, and outputs of residual networks.

The tests need no PyTorch: they read these files. `python make.py` in a folder makes them anew there.
"""

import numpy as np
import torch
from torch import nn


def checkpoint():
    base = torch.arange(24, dtype=torch.float32)
    weights = {
        "plain": base.reshape(2, 3, 4).clone(),
        "transposed": base.reshape(6, 4).t(),
        "part": base[5:17].reshape(3, 4)[:, 1:3],
        "half": (base[:4] / 8).half(),
        "bfloat": (base[:4] * 100).bfloat16(),
        "long": torch.tensor([2**40, -3]),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 5),
        "parameter": nn.Parameter(torch.tensor([1.5, -2.5])),
    }
    weights = {f"module.{name}": tensor for name, tensor in weights.items()}
    return {"epoch": 3, "best_prec1": 91.5, "note": None, "state_dict": weights}


class Block(nn.Module):
    def __init__(self, n_in, width, stride, expansion, projected):
        super().__init__()
        n_out = width * expansion
        sizes = [(n_in, width, 3, stride), (width, n_out, 3, 1)]
        if expansion > 1:
            sizes = [(n_in, width, 1, 1), (width, width, 3, stride), (width, n_out, 1, 1)]
        for i, (a, b, size, step) in enumerate(sizes, 1):
            setattr(self, f"conv{i}", nn.Conv2d(a, b, size, step, size // 2, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(b))
        self.count = len(sizes)
        self.changes = stride != 1 or n_in != n_out
        if projected and self.changes:
            self.downsample = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
        self.projected, self.added = projected, n_out - n_in

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = torch.relu(y) if i < self.count else y
        if self.changes and self.projected:
            x = self.downsample(x)
        elif self.changes:
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added // 2, self.added // 2))
        return torch.relu(y + x)


class Network(nn.Module):
    def __init__(self, blocks, width, classes, expansion, large, head):
        super().__init__()
        self.large, self.head, self.stages = large, head, len(blocks)
        self.conv1 = nn.Conv2d(3, width, 7 if large else 3, 2 if large else 1, 3 if large else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        n_in = width
        for stage, count in enumerate(blocks):
            made = []
            for i in range(count):
                stride = 2 if stage and not i else 1
                made.append(Block(n_in, width * 2**stage, stride, expansion, large))
                n_in = width * 2**stage * expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*made))
        setattr(self, head, nn.Linear(n_in, classes))

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        if self.large:
            x = nn.functional.max_pool2d(x, 3, 2, 1)
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return getattr(self, self.head)(x.mean((2, 3)))


def network(name, side, **architecture):
    torch.manual_seed(1)
    net = Network(**architecture)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.3)
    net.eval()
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    inputs = torch.tensor(((images / 255 - mean) / deviation).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        np.savez(f"{name}.npz", images=images, logits=net(inputs).numpy())
    torch.save(net.state_dict(), f"{name}.pt")


if __name__ == "__main__":
    torch.save(checkpoint(), "archive.pt")
    torch.save(checkpoint(), "sequence.th", _use_new_zipfile_serialization=False)
    network("cifar", 9, blocks=(1, 2, 1), width=4, classes=5, expansion=1, large=False, head="linear")
    network("basic", 19, blocks=(1, 1), width=4, classes=5, expansion=1, large=True, head="fc")
    network("bottleneck", 19, blocks=(1, 1), width=2, classes=5, expansion=4, large=True, head="fc")
