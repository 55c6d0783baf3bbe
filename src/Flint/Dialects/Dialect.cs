using Flint.Grammar;
using Flint.Tokens;

namespace Flint.Dialects;

/// <summary>The chat formats that responses are read in.</summary>
public enum DialectKind
{
    /// <summary>Text as it stands.</summary>
    Plain,

    /// <summary>Muse Glimmer's channels with ATEM calls.</summary>
    MuseGlimmer,

    /// <summary>Llama 3: a call is the whole answer, as JSON.</summary>
    Llama3,

    /// <summary>ChatML of the Qwen and Hermes kind: <c>&lt;think&gt;</c> and <c>&lt;tool_call&gt;</c> tags.</summary>
    ChatMl,
}

/// <summary>How a model writes its responses, and which template variables steer its reasoning.</summary>
public sealed class Dialect
{
    private static readonly string[] MuseMarkers = ["<|start|>", "<|message|>", "<|eom|>", "<|eot|>", "<|begin_of_text|>", "<|end_of_text|>"];

    private readonly HashSet<int> markers;
    private readonly Func<int, bool> isSpecial;
    private readonly string template;

    private Dialect(DialectKind kind, string template, HashSet<int> markers, Func<int, bool> isSpecial)
    {
        Kind = kind;
        this.template = template;
        this.markers = markers;
        this.isSpecial = isSpecial;
    }

    /// <summary>Which format.</summary>
    public DialectKind Kind { get; }

    /// <summary>The format's name.</summary>
    public string Name => Kind switch
    {
        DialectKind.MuseGlimmer => "muse-glimmer",
        DialectKind.Llama3 => "llama3",
        DialectKind.ChatMl => "chatml",
        _ => "plain",
    };

    /// <summary>Texts of the tokens that end a response in this format, beside the model file's own end-of-generation tokens.</summary>
    public IReadOnlyList<string> StopTokens => Kind switch
    {
        DialectKind.MuseGlimmer => ["<|eot|>", "<|end_of_text|>"],
        DialectKind.Llama3 => ["<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"],
        DialectKind.ChatMl => ["<|im_end|>", "<|endoftext|>"],
        _ => [],
    };

    /// <summary>Tells the dialect by the template's marks, or without a template by the vocabulary's.</summary>
    public static Dialect Detect(string? template, Tokenizer tokenizer) =>
        Detect(template, text => tokenizer.TryId(text, out int id) ? id : null, tokenizer.IsSpecial);

    /// <summary>Tells the dialect by the template's marks, or without a template by the vocabulary's.</summary>
    /// <param name="template">The chat template's source, if there is one.</param>
    /// <param name="find">The id of the token with a text, if the vocabulary has it.</param>
    /// <param name="isSpecial">Whether an id is a control token.</param>
    public static Dialect Detect(string? template, Func<string, int?> find, Func<int, bool> isSpecial)
    {
        bool Has(string mark) => template is not null ? template.Contains(mark, StringComparison.Ordinal) : find(mark) is not null;
        DialectKind kind = DialectKind.Plain;
        if (template is not null ? Has("<atem:function_calls>") && Has("<|eom|>") : Has("<|eom|>") && Has("<|message|>") && Has("<|start|>"))
            kind = DialectKind.MuseGlimmer;
        else if (Has("<|im_start|>") || Has("<think>") || Has("<tool_call>"))
            kind = DialectKind.ChatMl;
        else if (Has("<|start_header_id|>"))
            kind = DialectKind.Llama3;
        HashSet<int> markers = kind == DialectKind.MuseGlimmer ? [.. MuseMarkers.Select(find).OfType<int>()] : [];
        return new Dialect(kind, template ?? "", markers, isSpecial);
    }

    /// <summary>A model's tokens as grammars of its responses read them.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="vocabularySize">How many logits it has.</param>
    public static TokenVocabulary VocabularyOf(Tokenizer tokenizer, int vocabularySize) => TokenVocabulary.Of(tokenizer, vocabularySize, ResponseGrammar.Marks);

    /// <summary>The grammar of a response: thoughts are free, the answer and the calls are held to rules.</summary>
    /// <param name="vocabulary">The model's tokens (<see cref="VocabularyOf"/>).</param>
    /// <param name="rules">What is asked of the response.</param>
    /// <exception cref="FlintException">Caller: a schema or grammar cannot be enforced, or this format cannot force a call.</exception>
    public TokenGrammar CreateGrammar(TokenVocabulary vocabulary, ResponseRules rules) => ResponseGrammar.Create(this, vocabulary, rules);

    /// <summary>A parser of one response.</summary>
    public ResponseParser CreateParser(ResponseParserOptions? options = null)
    {
        options ??= new ResponseParserOptions();
        return Kind switch
        {
            DialectKind.MuseGlimmer => new MuseGlimmerParser(options, IsControl),
            DialectKind.Llama3 => new Llama3Parser(options, IsControl),
            DialectKind.ChatMl => new ChatMlParser(options, IsControl),
            _ => new PlainParser(options, IsControl),
        };
    }

    /// <summary>
    /// Whether a rendered prompt leaves the model inside its thoughts: some templates end the prompt with an open
    /// <c>&lt;think&gt;</c>. Goes into <see cref="ResponseParserOptions.StartsInReasoning"/>.
    /// </summary>
    public bool OpensReasoning(string prompt) => Kind == DialectKind.ChatMl && prompt.AsSpan().TrimEnd().EndsWith("<think>", StringComparison.Ordinal);

    /// <summary>
    /// The template variables that express a reasoning effort of the OpenAI API (<c>none</c>, <c>minimal</c>, <c>low</c>,
    /// <c>medium</c>, <c>high</c>, <c>xhigh</c>, <c>max</c>); none where the template has no such variable.
    /// </summary>
    /// <exception cref="FlintException">Caller: an effort of another name.</exception>
    public IReadOnlyDictionary<string, object?> EffortVariables(string effort)
    {
        if (effort is not ("none" or "minimal" or "low" or "medium" or "high" or "xhigh" or "max"))
            throw FlintException.Caller("invalid_reasoning_effort", $"reasoning effort must be none, minimal, low, medium, high, xhigh or max, not '{effort}'");
        var variables = new Dictionary<string, object?>();
        if (Uses("reasoning_strength"))
            variables["reasoning_strength"] = effort switch { "none" or "minimal" or "low" => "low", "max" => "xhigh", _ => effort };
        if (Uses("reasoning_effort"))
            variables["reasoning_effort"] = effort switch { "none" or "minimal" => "low", "xhigh" or "max" => "high", _ => effort };
        if (Uses("enable_thinking"))
            variables["enable_thinking"] = effort is not ("none" or "minimal");
        return variables;
    }

    /// <summary>Whether the template can ask for an answer without thoughts.</summary>
    public bool CanSwitchReasoning => Uses("enable_thinking");

    /// <summary>Whether the model writes arguments of calls in tags of their own, not as JSON.</summary>
    internal bool WritesTaggedCalls => Uses("<function=");

    /// <summary>What a model writes to end its thoughts and begin a call; null where it has none.</summary>
    public string? ReasoningClosingBeforeCall => MayReason && Kind == DialectKind.MuseGlimmer ? "<|eom|><|start|>assistant" : ReasoningClosing;

    /// <summary>Whether models of this format and template have thoughts.</summary>
    public bool MayReason => Kind == DialectKind.MuseGlimmer || (Kind == DialectKind.ChatMl && (CanSwitchReasoning || Uses("<think>") || Uses("reasoning_content")));

    /// <summary>What a model writes behind a prompt to begin its thoughts; null where it has none.</summary>
    public string? ReasoningOpening => !MayReason ? null : Kind == DialectKind.MuseGlimmer ? " to=self<|message|>" : "<think>\n";

    /// <summary>What a model writes to end its thoughts and begin its answer; null where it has none.</summary>
    public string? ReasoningClosing => !MayReason ? null : Kind == DialectKind.MuseGlimmer ? "<|eom|><|start|>assistant to=user<|message|>" : "\n</think>\n\n";

    /// <summary>What a model writes behind a prompt to begin its answer without thoughts; null where it has none anyway.</summary>
    /// <param name="inReasoning">Whether the prompt ends inside its thoughts (<see cref="OpensReasoning"/>).</param>
    public string? AnswerOpening(bool inReasoning) =>
        !MayReason ? null : Kind == DialectKind.MuseGlimmer ? " to=user<|message|>" : inReasoning ? ReasoningClosing : "<think>\n\n</think>\n\n";

    /// <summary>Whether the template has a word for this very effort (<see cref="EffortVariables"/>), not only for one near it.</summary>
    public bool HasEffort(string effort) => effort switch
    {
        "none" => CanSwitchReasoning,
        "low" or "medium" or "high" => Uses("reasoning_strength") || Uses("reasoning_effort"),
        "xhigh" => Uses("reasoning_strength"),
        _ => false,
    };

    /// <summary>Whether thoughts are to be kept from the caller at this effort because the model cannot be kept from having them.</summary>
    public bool HidesReasoning(string effort) => effort == "none" && !Uses("enable_thinking");

    private bool Uses(string variable) => template.Contains(variable, StringComparison.Ordinal);

    private bool IsControl(int id) => markers.Contains(id) || isSpecial(id);
}
