"""The spiking network: neuron, number formats, networks, models and card; numpy alone."""
