"""The conformance kit: checks that any search, reward, task or engine has to pass.

    from o1kit.testing import conformance

    TestMine = conformance.search("my_kind", {"num_samples": 4})

or, without a file: `pytest --o1kit-plugin searches:my_kind`.
"""
