using System.Text;
using Flint.Contemplate;
using Flint.Dialects;

namespace Flint.App.Serving;

/// <summary>
/// What agents write, as one text: agent after agent in order of their numbers, the first that has not ended as it writes, the
/// others once their turn comes. The text does not depend on which of them was faster.
/// </summary>
public sealed class AgentScript
{
    private const int MaxAnswer = 60; // characters of an answer in a count of votes

    private readonly Func<List<ResponseDelta>, ResponseParser>? _read;
    private readonly ServedModel? _model;
    private readonly List<Part> _parts = [];
    private readonly StringBuilder _told = new();
    private int _turn;

    /// <summary>A script of agents that a model's own engine computes.</summary>
    /// <param name="model">The model.</param>
    /// <param name="prompt">What they go on from.</param>
    /// <param name="tools">The functions offered.</param>
    public AgentScript(ServedModel model, ChatPrompt prompt, IReadOnlyList<ToolDefinition> tools)
    {
        _model = model;
        _read = deltas => model.CreateParser(prompt, tools, null, deltas);
    }

    /// <summary>A script of agents whose thoughts are told as such.</summary>
    public AgentScript()
    {
    }

    private sealed class Part(ResponseParser? parser)
    {
        public ResponseParser? Parser => parser;

        public StringBuilder Text { get; } = new();

        public bool HasEnded { get; set; }
    }

    /// <summary>Takes what happened.</summary>
    /// <returns>What can be told now, perhaps nothing.</returns>
    public string Take(in ContemplationEvent news)
    {
        var deltas = new List<ResponseDelta>();
        switch (news.Kind)
        {
            case ContemplationEventKind.AgentStarted:
                _parts.Add(new Part(_read?.Invoke(deltas)));
                _parts[^1].Text.Append(Heading(news.Agent!));
                break;
            case ContemplationEventKind.AgentWrote:
                Part writing = _parts[news.Agent!.Index];
                if (writing.Parser is { } parser)
                    _model!.Push(parser, news.Token, deltas);
                else if (news.IsThought == true)
                    writing.Text.Append(news.Token.Text);
                Append(writing, deltas);
                break;
            case ContemplationEventKind.AgentEnded:
                Part ended = _parts[news.Agent!.Index];
                ended.Parser?.Finish(deltas);
                Append(ended, deltas);
                ended.Text.Append(End(news.Trace!)).Append('\n');
                ended.HasEnded = true;
                break;
            default:
                _told.Append(Votes(news.Ballot!)).Append('\n');
                break;
        }

        for (; _turn < _parts.Count; _turn++)
        {
            _told.Append(_parts[_turn].Text);
            _parts[_turn].Text.Clear();
            if (!_parts[_turn].HasEnded)
                break;
        }

        string told = _told.ToString();
        _told.Clear();
        return told;
    }

    /// <summary>How an agent ended, for a person.</summary>
    public static string End(AgentTrace agent) => agent.End switch
    {
        AgentEnd.Finished when agent.Answer is null => " (says nothing)",
        AgentEnd.Finished when agent.Passed == false => $" => {agent.Content} (fails its check)",
        AgentEnd.Finished => $" => {(agent.Kind == AnswerKind.Call ? agent.Answer : agent.Content)}",
        AgentEnd.Length => " (cut off: its tokens are spent)",
        AgentEnd.Pruned => " (cut off: too unsure)",
        AgentEnd.Failed => $" (failed: {agent.Fault})",
        AgentEnd.Deadline => " (cut off: no time is left)",
        _ => " (cancelled)",
    };

    /// <summary>A count of votes, for a person.</summary>
    public static string Votes(Ballot ballot) => ballot.Candidates.Count == 0
        ? "No votes."
        : $"Votes: {string.Join(", ", ballot.Candidates.Select(c => $"{Shorten(c.Answer)} \u00d7 {c.Votes}"))}; agreement {ballot.Agreement:F2}.";

    /// <summary>An agent's name and task, for a person.</summary>
    public static string Heading(AgentPlan agent) => agent.Stage switch
    {
        AgentStage.Explore => $"[{string.Join(", ", new[] { $"{agent.Index + 1}", agent.Adapter, agent.Viewpoint is { } view ? Shorten(view) : null }.OfType<string>())}] ",
        AgentStage.Revise => $"[{agent.Index + 1}, after {Numbers(agent.Drafts)}] ",
        _ => $"[{agent.Index + 1}, from {Numbers(agent.Drafts)}] ",
    };

    private static string Numbers(IReadOnlyList<int> agents) => string.Join(", ", agents.Select(a => a + 1));

    private static string Shorten(string answer) => answer.Length <= MaxAnswer ? answer : answer[..MaxAnswer] + "\u2026";

    private static void Append(Part part, List<ResponseDelta> deltas)
    {
        foreach (ResponseDelta delta in deltas)
        {
            if (delta.Kind == ResponseDeltaKind.Reasoning)
                part.Text.Append(delta.Text);
        }
    }
}
