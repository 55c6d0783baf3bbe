using System.Text;
using Flint.Grammar;
using Flint.Models;

namespace Flint.Engine;

/// <summary>A request, checked and made ready: what all its samples share.</summary>
internal sealed class RequestPlan
{
    private RequestPlan(GenerationRequest request, Prompt prompt, int maxOutput, int tops)
    {
        Prompt = prompt;
        MaxOutput = maxOutput;
        Tops = tops;
        WantsLogprobs = request.TopLogprobs >= 0;
        Floor = request.Floor;
        Sampling = request.Sampling.Snapshot();
        IgnoreEos = request.IgnoreEos;
        ShowSpecial = request.ShowSpecial;
        Grammar = request.Grammar;
        GrammarTokens = request.GrammarTokens;
        Scope = new PrefixScope(request.Adapter, request.CacheSalt);
    }

    public Prompt Prompt { get; }

    /// <summary>The most tokens to generate, clipped to what the context and the pool hold.</summary>
    public int MaxOutput { get; }

    /// <summary>Alternatives per token.</summary>
    public int Tops { get; }

    public bool WantsLogprobs { get; }

    /// <summary>The confidence to keep; null for none.</summary>
    public ConfidenceFloor? Floor { get; }

    public SamplingOptions Sampling { get; }

    /// <summary>The seed where the request brings none.</summary>
    public ulong DrawnSeed { get; init; }

    public bool IgnoreEos { get; }

    public bool ShowSpecial { get; }

    /// <summary>What the text must be; null for any.</summary>
    public TokenGrammar? Grammar { get; }

    /// <summary>Tokens at the prompt's end that are the beginning of that text.</summary>
    public int GrammarTokens { get; }

    /// <summary>With a grammar, the tokens that end generation, and so stand where it may end.</summary>
    public int[] Ends { get; private set; } = [];

    /// <summary>Whose pages of computed prefixes may be used.</summary>
    public PrefixScope Scope { get; }

    public ModelAdapter? Adapter => Scope.Adapter;

    /// <summary>Stop strings to match on the text.</summary>
    public List<string> Stops { get; } = [];

    /// <summary>Special tokens that end generation as stop strings, and which string each stands for.</summary>
    public List<(int Token, string Stop)> StopTokens { get; } = [];

    /// <summary>Checks a request.</summary>
    /// <exception cref="FlintException">Caller, naming the value, what it may be and what it is.</exception>
    public static RequestPlan Create(
        GenerationRequest request, TokenTable table, int vocabularySize, int hiddenLength, int contextLength, int pages, int maxSamples, ulong drawnSeed)
    {
        request.Sampling.Validate(vocabularySize);
        Check(request.MaxTokens >= 0, "max_tokens", "at least 0", request.MaxTokens);
        Check(request.TopLogprobs is >= -1 and <= GenerationRequest.MaxTopLogprobs,
            "top_logprobs", $"-1 to {GenerationRequest.MaxTopLogprobs}", request.TopLogprobs);
        if (request.Floor is { } floor)
        {
            Check(floor.Tokens is >= 1 and <= ConfidenceWindow.MaxTokens, "floor.tokens", $"1 to {ConfidenceWindow.MaxTokens}", floor.Tokens);
            Check(floor.Top >= 0 && floor.Top <= request.TopLogprobs, "floor.top", $"0 to top_logprobs, which is {request.TopLogprobs}", floor.Top);
            Check(double.IsFinite(floor.Least), "floor.least", "a finite number", floor.Least);
        }
        Check(request.Samples >= 1 && request.Samples <= maxSamples, "n", $"1 to {maxSamples}", request.Samples);
        Check(Enum.IsDefined(request.Pooling), "pooling", "one that is defined", request.Pooling);
        Check(request.Pooling == PromptPooling.None || (request.MaxTokens == 0 && !request.PromptLogprobs),
            "pooling", "asked for alone, with max_tokens 0 and no log-probabilities of the prompt", request.Pooling);
        Check(request.Stop.Count <= GenerationRequest.MaxStops, "stop", $"at most {GenerationRequest.MaxStops} strings", request.Stop.Count);
        int[] tokens = [.. request.Prompt];
        if (tokens.Length == 0)
            throw FlintException.Caller("empty_prompt", "The prompt has at least 1 token; found none.");

        Check(request.Grammar is null || !request.IgnoreEos, "ignore_eos", "false where a grammar says when the text ends", request.IgnoreEos);
        Check(request.Grammar is not { } grammar || grammar.Vocabulary.Count == vocabularySize, "grammar", "one of the model's own vocabulary", request.Grammar?.Vocabulary.Count);
        Check(request.GrammarTokens >= 0 && request.GrammarTokens < tokens.Length, "grammar_tokens", "at least 0 and fewer than the prompt has", request.GrammarTokens);
        int output = RoomFor(tokens.Length, request.MaxTokens, contextLength, pages);
        foreach (int token in tokens)
            Check(token >= 0 && token < vocabularySize, "prompt", $"token ids from 0 to {vocabularySize - 1}", token);

        int tops = Math.Min(Math.Max(request.TopLogprobs, 0), vocabularySize);
        var plan = new RequestPlan(request, new Prompt(tokens, request.PromptLogprobs, tops, request.Pooling, hiddenLength), output, tops) { DrawnSeed = drawnSeed };
        foreach (string stop in request.Stop)
            plan.AddStop(stop, table);
        if (request.Grammar is not null)
            plan.Ends = [.. table.Ends().Where(token => token < vocabularySize), .. plan.StopTokens.Select(stop => stop.Token)];
        return plan;
    }

    /// <summary>How many tokens can be generated after a prompt.</summary>
    private static int RoomFor(int prompt, int wanted, int contextLength, int pages)
    {
        int least = wanted == 0 ? 0 : 1;
        if (prompt > contextLength - least)
        {
            throw FlintException.Caller("context_length_exceeded",
                $"The model's context length is {contextLength} tokens{(least > 0 ? ", one of them to generate" : "")}; the prompt has {prompt} tokens.");
        }
        long held = (long)pages * KvPool.PageTokens;
        if (prompt > held - least)
        {
            throw FlintException.Caller("context_length_exceeded",
                $"The memory set aside for keys and values holds {held} tokens of context length{(least > 0 ? ", one of them to generate" : "")}; the prompt has {prompt} tokens.");
        }
        return Math.Min(wanted, (int)Math.Min(contextLength, held) - prompt);
    }

    private void AddStop(string stop, TokenTable table)
    {
        int bytes = Encoding.UTF8.GetByteCount(stop);
        Check(bytes is >= 1 and <= GenerationRequest.MaxStopBytes, "stop", $"strings of 1 to {GenerationRequest.MaxStopBytes} bytes", bytes);
        int token = ShowSpecial ? -1 : table.SpecialToken(Encoding.UTF8.GetBytes(stop));
        if (token >= 0)
            StopTokens.Add((token, stop));
        else
            Stops.Add(stop);
    }

    private static void Check<T>(bool valid, string name, string expected, T found)
    {
        if (!valid)
            throw FlintException.Caller("invalid_value", $"{name} is {expected}; found {found}.");
    }
}
