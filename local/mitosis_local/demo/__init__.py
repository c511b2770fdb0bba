"""The demo: from nothing to a sharded shop on the local cluster, with the words a user would type.

`install` brings the chart and the keyspace, `shop` makes the data (pure), `load` brings them
through the gate, `tour` shows what is there.
"""
