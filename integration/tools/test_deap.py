"""deap: a toolbox's `map` is any function that maps."""

from __future__ import annotations

import random
from concurrent.futures import Executor

from deap import algorithms, base, creator, tools

creator.create("Fitness", base.Fitness, weights=(1.0,))
creator.create("Individual", list, fitness=creator.Fitness)


def ones(individual: list[int]) -> tuple[int]:
    return (sum(individual),)


def evolved(mapping: object) -> list[list[int]]:
    random.seed(2)
    toolbox = base.Toolbox()
    toolbox.register("bit", random.randint, 0, 1)
    toolbox.register("individual", tools.initRepeat, creator.Individual, toolbox.bit, 20)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", ones)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("map", mapping)
    population, _ = algorithms.eaSimple(toolbox.population(20), toolbox, 0.5, 0.2, 5, verbose=False)
    return [list(one) for one in population]


def test_a_genetic_algorithm(executor: Executor) -> None:
    assert evolved(executor.map) == evolved(map)
