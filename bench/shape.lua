-- shape.lua - what the scenarios of published shapes share: finding a case in a comparison, one operation's cycles, the rows at the end.

local shape = {}

function shape.find(found, workload, technique)
	for _, r in ipairs(found.rows) do
		if r.workload == workload and r.technique == technique then return r end
	end
	return { cycles = 0/0, slowdown = 0/0, outcome = "not run" }
end

-- Command lines of one-operation workloads, n times and 2n times: what n more turns cost has no start-up and no first translation in it.
function shape.twice(count, names)
	local list = {}
	for _, name in ipairs(names) do
		list[#list + 1] = string.format("%s n=%d", name, count[name])
		list[#list + 1] = string.format("%s n=%d", name, 2 * count[name])
	end
	return list
end

function shape.turn(found, count, name, technique)
	local once = shape.find(found, string.format("%s n=%d", name, count[name]), technique)
	local twice = shape.find(found, string.format("%s n=%d", name, 2 * count[name]), technique)
	return (twice.cycles - once.cycles) / count[name]
end

-- x and y differ at most by this factor.
function shape.within(factor, x, y) return x <= y * factor and y <= x * factor end

local rows = {}
function shape.row(name, measured, published, good)
	rows[#rows + 1] = { name, measured, published, good and "yes" or "NO" }
	check(good, name)
end

function shape.print()
	print()
	for _, r in ipairs(rows) do
		print(string.format("%-3s  %s\n       measured: %s; published: %s", r[4], r[1], r[2], r[3]))
	end
end

return shape
