// Runs in ComfyUI's page before its own code: pins chance and time, and adds what `front_end.py` calls.
(() => {
  const RealDate = Date;
  const pinned = new RealDate(2026, 0, 2, 3, 4, 5).getTime();
  let isPinned = false;
  Math.random = () => 0; // of a dynamic prompt {a|b}, the page takes the first alternative
  window.Date = class extends RealDate {
    constructor(...given) {
      if (given.length === 0 && isPinned) super(pinned);
      else super(...given);
    }
    static now() {
      return RealDate.now();
    }
  };

  const load = async (text) => {
    const quiet = { showMissingNodesDialog: false, showMissingModelsDialog: false };
    await window.app.loadGraphData(JSON.parse(text), true, false, null, quiet);
    await new Promise((settled) => setTimeout(settled, 60));
  };

  const exported = async () => {
    isPinned = true;
    try {
      return JSON.stringify((await window.app.graphToPrompt()).output, null, 1);
    } finally {
      isPinned = false;
    }
  };

  window.truth = {
    // What the menu's "Export (API)" gives for a workflow, and the node types that the page does not know.
    export: async (text) => {
      const workflow = JSON.parse(text);
      const subgraphs = workflow.definitions?.subgraphs ?? [];
      const known = new Set([...Object.keys(window.LiteGraph.registered_node_types), ...subgraphs.map((one) => one.id)]);
      const nodes = [workflow, ...subgraphs].flatMap((level) => level.nodes ?? []);
      const missing = [...new Set(nodes.map((node) => node.type))].filter((type) => !known.has(type));
      await load(text);
      const graph = await exported();
      return { graph, missing, repeats: graph === (await exported()) };
    },

    // The workflow as the page writes it: schema 0.4 is what it saves, schema 1 what it will save one day.
    serialised: async (text, schema) => {
      await load(text);
      const graph = window.app.graph;
      if (schema === 0.4) return JSON.stringify(graph.serialize());
      const written = graph.asSerialisable({ sortNodes: true });
      const definitions = graph.serialize().definitions;
      return JSON.stringify(definitions ? { ...written, definitions } : written);
    },

    // The workflow with nodes put into a subgraph, or into one within another, as the page's menu does it.
    // `layers`: which nodes, outermost first. `promoted`: widgets of inner nodes, `[node, widget, value]`, that become
    // inputs of the innermost subgraph, with the value that its instance then has.
    nested: async (text, layers, promoted) => {
      await load(text);
      let graph = window.app.graph;
      let instance = null;
      for (const layer of layers) {
        const chosen = new Set(graph.nodes.filter((node) => layer.includes(node.id)));
        const made = graph.convertToSubgraph(chosen);
        graph = made.subgraph;
        instance = made.node;
      }
      for (const [id, widget, value] of promoted) {
        const node = graph.getNodeById(id);
        const slot = node.inputs.find((input) => input.widget?.name === widget);
        graph.addInput(widget, slot.type).connect(slot, node);
        if (value !== null) instance.widgets.find((one) => one.name === widget).value = value;
      }
      await new Promise((settled) => setTimeout(settled, 60));
      return JSON.stringify(window.app.graph.serialize());
    },
  };
})();
