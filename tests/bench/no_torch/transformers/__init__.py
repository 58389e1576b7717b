raise ImportError("this test runs without it")
