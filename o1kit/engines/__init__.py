"""What samples and scores tokens, and the policy that turns their tokens into text."""
