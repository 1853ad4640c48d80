"""What a recipe will take: parameters, tokens, memory, disk, time and cost, before anything runs.

Everything but `probe` is plain arithmetic over the recipe's sections and the headers of weights on disk: no torch.
"""
