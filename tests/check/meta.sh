#!/bin/sh
# The editors' file of the scenario language is the one the tables make.
build=$1
"$build/vmscope" list lua-meta | cmp -s - scenarios/vmscope.lua && echo "ok meta" ||
	echo "not ok meta: scenarios/vmscope.lua is not what the tables say: make meta"
