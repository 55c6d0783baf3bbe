using System.Text;
using Flint.Contemplate;

namespace Flint.App.Serving;

/// <summary>
/// What sub-agents think and answer, as one text: agent after agent in order, those that an agent spawned where it called for them. The
/// first that has not ended is told as it thinks, the others once their turn comes, so that the text does not depend on which of them
/// was faster.
/// </summary>
public sealed class SubagentScript
{
    private const int MaxMessage = 60; // characters of a message in a heading

    private readonly Dictionary<string, Part> _parts = new() { [""] = new Part() };

    // A part holds texts and the parts of further agents, in order.
    private sealed class Part
    {
        public List<(string? Text, Part? Agent)> Pieces { get; } = [];

        public int Told { get; set; }

        public bool HasEnded { get; set; }
    }

    /// <summary>Takes what happened.</summary>
    /// <returns>What can be told now, perhaps nothing.</returns>
    public string Take(in SubagentEvent news)
    {
        Part part = _parts[news.Path];
        switch (news.Kind)
        {
            case SubagentEventKind.Called:
                part.Pieces.Add((Heading(news), null));
                foreach (SubagentPlan plan in news.Agents ?? [])
                {
                    var agent = new Part();
                    agent.Pieces.Add(($"[{plan.Path}: {Shorten(plan.Message)}] ", null));
                    part.Pieces.Add((null, agent));
                    _parts.Add(plan.Path, agent);
                }

                break;
            case SubagentEventKind.Thought:
                part.Pieces.Add((news.Text, null));
                break;
            case SubagentEventKind.Ended:
                part.Pieces.Add((End(news.Trace!) + '\n', null));
                part.HasEnded = true;
                break;
            default:
                return "";
        }

        var told = new StringBuilder();
        Tell(_parts[""], told);
        return told.ToString();
    }

    /// <returns>Whether all of the part is told.</returns>
    private static bool Tell(Part part, StringBuilder told)
    {
        for (; part.Told < part.Pieces.Count; part.Told++)
        {
            (string? text, Part? agent) = part.Pieces[part.Told];
            if (agent is not null && !Tell(agent, told))
                return false;
            told.Append(text);
        }

        return part.HasEnded;
    }

    private static string Heading(in SubagentEvent call) =>
        call.Fault is not null ? $"\n[no sub-agents: {call.Fault}]\n" : $"\n[{call.Agents!.Count} sub-agent{(call.Agents.Count == 1 ? "" : "s")}]\n";

    private static string End(SubagentTrace agent) => agent.End switch
    {
        AgentEnd.Finished => $" => {agent.Content}",
        AgentEnd.Length => $" => {agent.Content} (cut off: its tokens are spent)",
        _ => $" (failed: {agent.Fault})",
    };

    private static string Shorten(string message)
    {
        string line = message.ReplaceLineEndings(" ");
        return line.Length <= MaxMessage ? line : line[..MaxMessage] + "\u2026";
    }
}
