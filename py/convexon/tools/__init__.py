"""How any other program is run: simulators, compilers, Yosys, place and route, worker processes.

No other module of the product may use ``subprocess``. What a program is given of the environment is
chosen here (`environment`), it ends with this process however that ends (`process`), what went
wrong is told in its own words and its log is kept (`reason`), and nothing of it stays behind
(`scratch`).
"""
