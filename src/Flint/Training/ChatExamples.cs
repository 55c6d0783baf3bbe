using Flint.Dialects;
using Flint.Tokens;

namespace Flint.Training;

/// <summary>
/// Turns a conversation into masked examples. What the model is to write, the trained span of an assistant's turn, is what the
/// template adds to the prompt that asks for that turn: the template renders the conversation up to the turn, once with and
/// once without it, and the difference is the span. Where every such rendering is the beginning of the next, one example holds
/// all turns; where the template rewrites what came before (it drops old thoughts), each turn is an example of its own, with the
/// history as the model would see it there.
/// </summary>
internal sealed class ChatExamples
{
    private readonly ChatTemplate _template;
    private readonly Tokenizer _tokenizer;
    private readonly Dialect _dialect;
    private readonly ControlText _controls;
    private readonly ChatDatasetOptions _options;
    private readonly string? _bos;
    private readonly string? _eos;

    public ChatExamples(ChatTemplate template, Tokenizer tokenizer, ChatDatasetOptions options)
    {
        _template = template;
        _tokenizer = tokenizer;
        _options = options;
        _dialect = Dialect.Detect(template.Source, tokenizer);
        _controls = new ControlText(tokenizer);
        _bos = tokenizer.Bos is int bos ? tokenizer.Text(bos) : null;
        _eos = tokenizer.Eos is int eos ? tokenizer.Text(eos) : null;
    }

    /// <summary>A rendered text with the stretches of it that are trained, in order.</summary>
    private sealed record Rendered(string Text, List<Range> Spans);

    /// <summary>The examples of a conversation.</summary>
    /// <exception cref="FlintException">Caller: the template refuses it, or an example is too long.</exception>
    public List<Example> Of(ChatLine line)
    {
        TemplateInput whole = Input(line);
        char? mark = PromptRenderer.FindMark(_template, whole, _controls);
        List<Rendered> rendered = Render(line, whole, mark);
        var examples = new List<Example>(rendered.Count);
        foreach (Rendered one in rendered) examples.Add(Encode(one, mark));
        return examples;
    }

    private TemplateInput Input(ChatLine line) => new()
    {
        Messages = line.Messages,
        Tools = line.Tools,
        AddGenerationPrompt = false,
        BosToken = _bos,
        EosToken = _eos,
        Extra = line.Strength is null ? new Dictionary<string, object?>() : _dialect.EffortVariables(line.Strength),
        Now = _options.Now,
    };

    private List<Rendered> Render(ChatLine line, TemplateInput whole, char? mark)
    {
        string Prefix(int count, bool prompt) => PromptRenderer.Render(
            _template, whole.With(new ArraySegment<ChatMessage>(line.Messages, 0, count), prompt), _controls, mark);

        var turns = new List<(string Text, int Start)>();
        for (int i = 0; i < line.Messages.Length; i++)
        {
            if (!line.Trained[i]) continue;
            string prompt = Prefix(i, prompt: true), answered = Prefix(i + 1, prompt: false);
            int start = answered.StartsWith(prompt, StringComparison.Ordinal) ? prompt.Length : StartAfter(Prefix(i, prompt: false), prompt, answered, i);
            if (start == answered.Length) throw FlintException.Caller("turn_not_shown", $"the chat template does not show messages[{i}]");
            turns.Add((answered, start));
        }
        bool grows = true;
        for (int t = 0; t + 1 < turns.Count && grows; t++)
            grows = turns[t + 1].Start >= turns[t].Text.Length && turns[t + 1].Text.StartsWith(turns[t].Text, StringComparison.Ordinal);
        return grows
            ? [new Rendered(turns[^1].Text, [.. turns.Select(t => t.Start..t.Text.Length)])]
            : [.. turns.Select(t => new Rendered(t.Text, [t.Start..t.Text.Length]))];
    }

    // Some templates end the prompt with what they leave out of the history, such as an open <think>: there, the span begins
    // after the last control token that both have.
    private int StartAfter(string before, string prompt, string answered, int turn)
    {
        int common = prompt.AsSpan().CommonPrefixLength(answered);
        if (common < before.Length || !answered.StartsWith(before, StringComparison.Ordinal))
            throw FlintException.Caller("turn_not_found", $"the chat template rewrites what came before messages[{turn}], so what that message adds cannot be told");
        return before.Length + _controls.EndOfLast(answered.AsSpan(before.Length, common - before.Length));
    }

    private Example Encode(Rendered rendered, char? mark)
    {
        var ids = new List<int>();
        var weights = new List<float>();
        string text = rendered.Text;
        if (_tokenizer.AddBos && _bos is not null && !text.StartsWith(_bos, StringComparison.Ordinal)) ids.Add(_tokenizer.Bos!.Value);
        int from = 0;
        foreach (Range span in rendered.Spans)
        {
            // Cut where the model is asked: there, and nowhere else, tokens end when it runs.
            Append(text.AsSpan(from, span.Start.Value - from));
            Weigh(_options.PromptWeight, ids.Count);
            int first = ids.Count;
            Append(text.AsSpan(span));
            int last = ids.FindLastIndex(ids.Count - 1, ids.Count - first, _tokenizer.EndOfGeneration.Contains);
            // The model stops at the end of its turn: what the template writes after it is not the model's.
            Weigh(1, last >= 0 ? last + 1 : ids.Count);
            from = span.End.Value;
        }
        Weigh(_options.PromptWeight, ids.Count);
        weights[0] = 0;
        if (ids.Count > _options.MaxTokens)
            throw FlintException.Caller("too_long", $"it takes {ids.Count} tokens; the most is {_options.MaxTokens}");
        return new Example([.. ids], [.. weights]);

        void Append(ReadOnlySpan<char> piece)
        {
            if (mark is char found) _controls.Encode(piece.ToString(), found, ids);
            else _tokenizer.Encode(piece, parseSpecial: true, ids);
        }

        void Weigh(float weight, int until)
        {
            while (weights.Count < until) weights.Add(weight);
        }
    }
}

/// <summary>Token ids, and for each the weight of predicting it.</summary>
internal readonly record struct Example(int[] Ids, float[] Weights);
