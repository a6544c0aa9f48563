"""Behaviour policies that the datasets are collected with."""
