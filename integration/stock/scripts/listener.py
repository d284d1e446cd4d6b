"""The address at which the stock SDK listens to results."""

from globus_compute_sdk import Client
from work import say

say(**Client().get_result_amqp_url())
