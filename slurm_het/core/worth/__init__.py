"""What a device is worth to a task: the terms of the weight, and the forecast behind them."""
