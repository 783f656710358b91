"""What the lens of predicted risk counts in texts, and the regression on it: `read_features`, `fit_risk`, `risk_out_of_group`."""
