# A connection that breaks ends the run there.
break proc_fork
continue
disconnect
