"""Tests of the hook's Lua."""
