"""Market and transcript desk: a small service that shows how an application uses gnomon.

`make up` runs three processes of it: the desk itself (`desk.py`, where to start reading), the
exchange that it asks for prices (`exchange.py`) and a load generator (`load.py`).
"""
