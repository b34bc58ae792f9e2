"""Graphs: shortest paths, components, centrality, matching, spanning trees."""
import sys

import networkx

for turn in range(int(sys.argv[1])):
    graph = networkx.gnm_random_graph(150, 500, seed=turn)
    for n, (a, b) in enumerate(graph.edges()):
        graph[a][b]["weight"] = n % 17 + 1
    lengths = dict(networkx.all_pairs_shortest_path_length(graph))
    ranks = networkx.betweenness_centrality(graph, k=30, seed=1)
    tree = networkx.minimum_spanning_tree(graph)
    cliques = sum(1 for _ in networkx.find_cliques(graph))
    matching = networkx.max_weight_matching(graph.subgraph(range(60)))
    print(len(lengths), round(max(ranks.values()), 4), tree.number_of_edges(), cliques, len(matching))
