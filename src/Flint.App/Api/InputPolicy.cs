using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.App.Policy;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>
/// Holds a request to its key's policy before anything is made of it: refuses it, or gives it back with texts redacted and numbers
/// within their bounds.
/// </summary>
internal sealed class InputPolicy
{
    private const string BoundsHeader = "x-flint-bounded";

    private readonly PolicyRules _rules;
    private readonly RequestMeter _meter;
    private readonly bool _looks; // at any text at all
    private readonly List<InputText>? _texts; // that classifiers will judge

    private InputPolicy(PolicyRules rules, RequestMeter meter)
    {
        _rules = rules;
        _meter = meter;
        if (rules.Classifiers.Any(rule => rule.OnInput))
            _texts = [];
        _looks = rules.Input.Count + rules.Allow.Count > 0 || rules.Schemas.Any(rule => rule.OnInput) || _texts is not null;
    }

    /// <summary>Holds a chat to it.</summary>
    /// <param name="request">The request.</param>
    /// <param name="meter">Knows the policy, and notes what is decided.</param>
    /// <param name="headers">The response's, which tell the numbers that were bounded.</param>
    /// <exception cref="ApiException">A rule refuses it.</exception>
    public static ChatRequest Apply(ChatRequest request, RequestMeter meter, IHeaderDictionary headers)
    {
        if (meter.Rules is not { } rules)
            return request;
        if (rules.FiltersOutput && request.TellsContemplation)
            throw ApiException.Unsupported("include", "Unsupported value: 'include' with 'contemplation', as this server filters answers and agents' drafts would tell what it holds back.");
        if (rules.FiltersOutput && request.TellsSubagents)
            throw ApiException.Unsupported("include", "Unsupported value: 'include' with 'subagents', as this server filters answers and what sub-agents wrote would tell what it holds back.");
        RefuseScores(rules, request.TopLogprobs >= 0);
        var policy = new InputPolicy(rules, meter);
        var moved = new List<string>();
        request = request with
        {
            Conversation = policy.Apply(request.Conversation, request.TemplateVariables),
            Contemplation = policy.Bound(policy.Apply(request.Contemplation), moved),
            Generation = request.Generation with { Sampling = policy.Bound(request.Generation.Sampling, moved) },
            MaxTokens = policy.MaxTokens(request.MaxTokens, moved),
        };
        policy.Tell(moved, headers);
        policy.HandOver();
        return request;
    }

    /// <summary>Holds a plain completion to it.</summary>
    /// <param name="request">The request.</param>
    /// <param name="decode">The text of tokens.</param>
    /// <param name="meter">Knows the policy, and notes what is decided.</param>
    /// <param name="headers">The response's, which tell the numbers that were bounded.</param>
    /// <exception cref="ApiException">A rule refuses it.</exception>
    public static CompletionRequest Apply(CompletionRequest request, Func<int[], string> decode, RequestMeter meter, IHeaderDictionary headers)
    {
        if (meter.Rules is not { } rules)
            return request;
        RefuseScores(rules, request.Logprobs >= 0);
        var policy = new InputPolicy(rules, meter);
        var moved = new List<string>();
        request = request with
        {
            Prompts = [.. request.Prompts.Select((prompt, i) => policy.Apply(prompt, decode, request.Prompts.Count == 1 ? "prompt" : $"prompt[{i}]"))],
            Generation = request.Generation with { Sampling = policy.Bound(request.Generation.Sampling, moved) },
            MaxTokens = policy.MaxTokens(request.MaxTokens, moved),
        };
        policy.Tell(moved, headers);
        policy.HandOver();
        return request;
    }

    /// <summary>Holds texts to embed to it.</summary>
    /// <param name="inputs">The texts.</param>
    /// <param name="name">The field that has them.</param>
    /// <param name="decode">The text of tokens.</param>
    /// <param name="meter">Knows the policy, and notes what is decided.</param>
    /// <exception cref="ApiException">A rule refuses one.</exception>
    public static IReadOnlyList<CompletionPrompt> Apply(IReadOnlyList<CompletionPrompt> inputs, string name, Func<int[], string> decode, RequestMeter meter)
    {
        if (meter.Rules is not { } rules)
            return inputs;
        var policy = new InputPolicy(rules, meter);
        CompletionPrompt[] told = [.. inputs.Select((input, i) => policy.Apply(input, decode, inputs.Count == 1 ? name : $"{name}[{i}]"))];
        policy.HandOver();
        return told;
    }

    /// <summary>A decision as records name it: what, which rule, and where.</summary>
    public static string Text(RuleDecision decision, string where) => $"{(decision.Denies ? "denied" : "redacted")} {decision.Rule.Name} {where}:{decision.Position}";

    // Log-probabilities name the tokens of what is held back, and their likeliest neighbours.
    private static void RefuseScores(PolicyRules rules, bool asked)
    {
        if (asked && rules.FiltersOutput)
            throw ApiException.Unsupported("logprobs", "Unsupported parameter: 'logprobs', as this server filters answers and the log-probabilities of their tokens would tell what it holds back.");
    }

    private ChatConversation Apply(ChatConversation conversation, IReadOnlyDictionary<string, object?> variables)
    {
        if (!_looks)
            return conversation;
        for (int i = 0; i < conversation.Tools.Count; i++)
            CheckFixed(conversation.Tools[i].Json, $"tools[{i}]", "system");
        foreach ((string name, object? value) in variables)
            CheckFixed(value, $"chat_template_kwargs.{name}", "system");
        return conversation with
        {
            Messages = [.. conversation.Messages.Select((message, i) => Apply(message, i))],
            RawPrompt = conversation.RawPrompt is string raw ? Apply(raw, "prompt", "user") : null,
        };
    }

    private ChatMessage Apply(ChatMessage message, int index)
    {
        string at = $"messages[{index}]";
        CheckFixed(message.Name, $"{at}.name", message.Role);
        foreach ((string name, JsonNode? value) in message.Extra ?? new Dictionary<string, JsonNode?>())
            CheckFixed(value, $"{at}.{name}", message.Role);
        string?[] parts = [message.Content, .. message.Parts?.Select(part => part.Text) ?? []];
        string?[] told = Apply(parts, $"{at}.content", message.Role);
        string? thoughts = message.ReasoningContent is string reasoning ? Apply(reasoning, $"{at}.reasoning_content", message.Role) : null;
        ToolCall[]? calls = message.ToolCalls is null ? null : [.. message.ToolCalls.Select((call, i) => Apply(call, $"{at}.tool_calls[{i}]", message.Role))];
        if (told.SequenceEqual(parts) && thoughts == message.ReasoningContent && (calls is null || calls.SequenceEqual(message.ToolCalls!)))
            return message;
        return new ChatMessage
        {
            Role = message.Role,
            Content = told[0],
            Parts = message.Parts is null ? null : [.. message.Parts.Select((part, i) => part with { Text = told[i + 1] })],
            ReasoningContent = thoughts,
            ToolCalls = calls,
            ToolCallId = message.ToolCallId,
            Name = message.Name,
            Extra = message.Extra,
        };
    }

    private ToolCall Apply(ToolCall call, string at, string role)
    {
        CheckFixed(call.Name, $"{at}.name", role);
        SchemaRule[] schemas = [.. _rules.Schemas.Where(rule => rule.CoversCall(call.Name, role))];
        if (schemas.Length > 0 && SchemaRule.Denial(schemas, call.Arguments) is { } denial)
            Deny(denial.Rule, $"{at}.arguments", denial.Position);
        string arguments = Apply([call.Arguments], $"{at}.arguments", role, isJson: true, isAsked: false)[0]!;
        return arguments == call.Arguments ? call : call with { Arguments = arguments };
    }

    private ContemplationFields Apply(ContemplationFields fields) => !_looks ? fields : fields with
    {
        Perspectives = [.. fields.Perspectives.Select((text, i) => Apply([text], $"contemplation.perspectives[{i}]", "system", isAsked: false)[0]!)],
    };

    private CompletionPrompt Apply(CompletionPrompt prompt, Func<int[], string> decode, string path)
    {
        if (!_looks)
            return prompt;
        string text = prompt.Text ?? decode(prompt.Tokens!), told = Apply(text, path, "user");
        return told == text ? prompt : new CompletionPrompt(told, null);
    }

    private string Apply(string text, string path, string role) => Apply([text], path, role)[0]!;

    // Parts are one text to the rules, as they are to the model.
    private string?[] Apply(string?[] parts, string path, string role, bool isJson = false, bool isAsked = true)
    {
        string whole = string.Concat(parts);
        if (isAsked && whole.Length > 0)
            Ask(whole, path, role);
        _texts?.Add(new InputText(path, role, whole));
        var filter = new TextFilter([.. _rules.Input.Where(rule => rule.Covers(role))], decision => Take(decision, path), isJson);
        return [.. parts.Select(part => part is null ? null : filter.Push(part) + filter.Finish())];
    }

    // Where rules allow texts of a role, one of them must.
    private void Ask(string text, string path, string role)
    {
        TextRule[] rules = [.. _rules.Allow.Where(rule => rule.Covers(role))];
        bool isAllowed = rules.Any(rule => rule.Matcher.IsIn(text));
        SchemaRule[] schemas = [.. _rules.Schemas.Where(rule => rule.CoversContent(role))];
        if (schemas.Length > 0 && SchemaRule.Denial(schemas, text, isAllowed) is { } denial)
            Deny(denial.Rule, path, denial.Position);
        if (rules.Length == 0 || isAllowed || schemas.Any(rule => rule.Action == RuleAction.Allow))
            return;
        _meter.Note($"denied allow {path}");
        throw Refuse(path, "no rule of this server's policy allows it");
    }

    private void Take(RuleDecision decision, string path)
    {
        if (decision.Denies)
            Deny(decision.Rule.Name, path, decision.Position);
        _meter.Note(Text(decision, path));
    }

    private void Deny(string rule, string path, int position)
    {
        _meter.Note($"denied {rule} {path}:{position}");
        throw Refusal(path, rule);
    }

    // What models are to judge waits until the request is paid.
    private void HandOver()
    {
        if (_texts is not null)
            _meter.Judge(_texts);
    }

    // In what has a form to keep nothing is redacted.
    private void CheckFixed(object? value, string path, string role)
    {
        if (value is null || !_looks)
            return;
        bool isText = value is string;
        string text = isText ? (string)value : value is JsonNode node ? node.ToJsonString() : JsonSerializer.Serialize(value.ToString());
        var filter = new TextFilter([.. _rules.Input.Where(rule => rule.Covers(role))], decision => Take(decision with { Denies = true }, path), isJson: !isText);
        filter.Push(text);
        filter.Finish();
        _texts?.Add(new InputText(path, role, text));
    }

    /// <summary>The refusal of what a rule denies.</summary>
    public static ApiException Refusal(string path, string rule) => Refuse(path, $"the rule '{rule}' of this server's policy denies it");

    private static ApiException Refuse(string path, string why) =>
        ApiException.Invalid(path, "content_policy_violation", $"The request was refused: '{path}' cannot be sent, as {why}.");

    private int MaxTokens(int asked, List<string> moved)
    {
        if (_rules.Bounds.MaxTokens is not int most || asked <= most)
            return asked;
        moved.Add("max_tokens");
        return most;
    }

    private SamplingOptions Bound(SamplingOptions asked, List<string> moved)
    {
        if (_rules.Bounds.Sampling.Count == 0)
            return asked;
        float Of(string name, float value) => _rules.Bounds.Of(name, value, moved.Add);

        // 0 keeps all tokens: it is the largest number of them, not the smallest.
        float topK = Of("top_k", asked.TopK == 0 ? float.MaxValue : asked.TopK);
        return new SamplingOptions
        {
            Temperature = Of("temperature", asked.Temperature),
            TopK = topK == float.MaxValue ? 0 : (int)topK,
            TopP = Of("top_p", asked.TopP),
            MinP = Of("min_p", asked.MinP),
            TypicalP = Of("typical_p", asked.TypicalP),
            FrequencyPenalty = Of("frequency_penalty", asked.FrequencyPenalty),
            PresencePenalty = Of("presence_penalty", asked.PresencePenalty),
            RepetitionPenalty = Of("repetition_penalty", asked.RepetitionPenalty),
            PenaltyWindow = asked.PenaltyWindow,
            LogitBias = asked.LogitBias,
            Seed = asked.Seed,
        };
    }

    // Agents draw around one temperature, at most so far from it as the bound is.
    private ContemplationFields Bound(ContemplationFields asked, List<string> moved)
    {
        Bounds bounds = _rules.Bounds;
        ContemplationOptions options = asked.Options;
        if (bounds.Sampling.TryGetValue("temperature", out Bound bound))
        {
            float temperature = bound.Of(options.Temperature);
            float room = Math.Min(bound.Most - temperature ?? float.MaxValue, temperature - bound.Least ?? float.MaxValue);
            options = options with { Temperature = temperature, TemperatureSpread = Math.Min(options.TemperatureSpread, Math.Max(0, room)) };
        }

        if (bounds.MaxTokens is int most && options.MaxTokens > most)
            options = options with { MaxTokens = most };
        return asked with { Options = options };
    }

    private void Tell(List<string> moved, IHeaderDictionary headers)
    {
        if (moved.Count == 0)
            return;
        string names = string.Join(", ", moved);
        headers[BoundsHeader] = names;
        _meter.Note($"bounded {names}");
    }
}
