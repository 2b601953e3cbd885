--status 1
--! tests/scenario/failed.lua:5: check failed: of no use
--! and on it goes
-- a failed check is printed, and the scenario goes on
check(1 > 2, "of no use")
print("and on it goes")
