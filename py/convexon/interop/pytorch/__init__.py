"""Models of PyTorch: modules, which are run once, and programs of torch.export."""
