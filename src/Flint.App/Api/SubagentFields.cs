using System.Security.Cryptography;
using System.Text.Json;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>How far the model may hand work to sub-agents: the field <c>subagents</c> of a chat request, or a tool of that type.</summary>
internal static class SubagentFields
{
    /// <summary>The field, and the tool's type.</summary>
    public const string Name = "subagents";

    /// <summary>Where a request has them; null where it has none, or wants no call.</summary>
    /// <exception cref="ApiException">The field has a wrong type, or they are asked for twice.</exception>
    public static JsonFields? Find(JsonFields body)
    {
        JsonFields? found = null;
        if (body.TryGet(Name, out JsonElement own))
        {
            if (own.ValueKind is not (JsonValueKind.True or JsonValueKind.False or JsonValueKind.Object))
                throw JsonFields.WrongType(Name, "a boolean or an object", own);
            found = own.ValueKind == JsonValueKind.False ? null : new JsonFields(own, Name);
        }

        if (body.TryGet("tools", out JsonElement tools) && tools.ValueKind == JsonValueKind.Array)
        {
            int index = 0;
            foreach (JsonElement tool in tools.EnumerateArray())
            {
                string path = $"tools[{index++}]";
                if (tool.ValueKind != JsonValueKind.Object || !IsNamed(tool, "type", Name))
                    continue;
                if (found is not null)
                    throw ApiException.Invalid(path, "invalid_value", $"Invalid '{path}': '{Name}' are asked for twice.");
                found = new JsonFields(tool, path);
            }
        }

        bool refused = body.TryGet("tool_choice", out JsonElement choice)
            && (choice.ValueKind == JsonValueKind.Object ? IsNamed(choice, "type", "none") : choice.ValueKind == JsonValueKind.String && choice.ValueEquals("none"));
        return refused ? null : found;
    }

    /// <summary>Reads them.</summary>
    /// <param name="body">The request's body.</param>
    /// <param name="sampling">How tokens are drawn.</param>
    /// <returns>Null where the model is not to be offered any.</returns>
    /// <exception cref="ApiException">A field has a wrong type or value.</exception>
    public static SubagentOptions? Read(JsonFields body, SamplingOptions sampling)
    {
        if (Find(body) is not JsonFields found)
            return null;
        var options = new SubagentOptions { Seed = sampling.Seed ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))) };
        return found.Element.ValueKind == JsonValueKind.True ? options : options with
        {
            Agents = found.Int("max", 1, SubagentOptions.MaxAgents) ?? options.Agents,
            Depth = found.Int("depth", 1, SubagentOptions.MaxDepth) ?? options.Depth,
            AgentTokens = found.Int("agent_tokens", 1, int.MaxValue) ?? options.AgentTokens,
        };
    }

    /// <summary>Refuses what does not go with them.</summary>
    /// <exception cref="ApiException">The request asks for it.</exception>
    public static void Refuse(ChatRequest request, ReasoningMode? mode)
    {
        if (mode == ReasoningMode.Contemplating)
            throw ApiException.Unsupported(Name, $"Unsupported value: '{Name}' in the mode 'contemplating', whose agents spawn no others.");
        if (request.Generation.Choices > 1)
            throw ApiException.Unsupported("n", $"Unsupported value: 'n' above 1 with '{Name}'.");
        if (request.Format is { } format)
            throw ApiException.Unsupported(format.Path, $"Unsupported value: '{format.Path}' with '{Name}'.");
        if (request.Conversation.ToolChoice.IsForced)
            throw ApiException.Unsupported(ToolChoice.Field, $"Unsupported value: a forced '{ToolChoice.Field}' with '{Name}'.");
        if (request.Conversation.StrictTools.Count > 0)
            throw ApiException.Unsupported("tools", $"Unsupported value: 'tools' with 'strict' and '{Name}'.");
        if (request.Generation.IgnoreEos)
            throw ApiException.Unsupported("ignore_eos", $"Unsupported value: 'ignore_eos' with '{Name}', as a call ends a turn.");
        if (request.Conversation.RawPrompt is not null)
            throw ApiException.Unsupported("raw", $"Unsupported value: 'raw' with '{Name}', which need a conversation.");
        if (request.Conversation.Tools.Any(tool => tool.Name == SubagentCall.Function))
            throw ApiException.Invalid("tools", "invalid_value", $"Invalid 'tools': with '{Name}', no other function may be named '{SubagentCall.Function}'.");
    }

    private static bool IsNamed(JsonElement map, string field, string name) =>
        map.TryGetProperty(field, out JsonElement value) && value.ValueKind == JsonValueKind.String && value.ValueEquals(name);
}
