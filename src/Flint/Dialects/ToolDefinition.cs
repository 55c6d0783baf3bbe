using System.Text.Json;
using System.Text.Json.Nodes;

namespace Flint.Dialects;

/// <summary>A function offered to the model.</summary>
public sealed class ToolDefinition
{
    private ToolDefinition(JsonNode json, JsonObject function, string name)
    {
        Json = json;
        Name = name;
        Description = (function["description"] as JsonValue)?.TryGetValue(out string? text) == true ? text : null;
        Parameters = function["parameters"] as JsonObject;
    }

    /// <summary>The definition as the caller gave it, key order and unknown keys kept; templates print it.</summary>
    public JsonNode Json { get; }

    /// <summary>The function's name.</summary>
    public string Name { get; }

    /// <summary>What it does, if said.</summary>
    public string? Description { get; }

    /// <summary>The JSON schema of its arguments, if given.</summary>
    public JsonObject? Parameters { get; }

    /// <summary>Takes <c>{"type": "function", "function": {"name", ...}}</c>, or the inner object alone, which is wrapped.</summary>
    /// <exception cref="FlintException">Caller: no function name where one was expected.</exception>
    public static ToolDefinition From(JsonNode? json)
    {
        if (json is JsonObject outer)
        {
            JsonObject? function = outer["function"] as JsonObject;
            JsonNode whole = outer;
            if (function is null && outer.ContainsKey("name"))
            {
                function = (JsonObject)outer.DeepClone();
                whole = new JsonObject { ["type"] = "function", ["function"] = function };
            }

            if (function?["name"] is JsonValue value && value.GetValueKind() == JsonValueKind.String && value.GetValue<string>() is { Length: > 0 } name)
                return new ToolDefinition(whole, function, name);
        }

        throw FlintException.Caller("invalid_tool", "a tool must be an object with a function that has a name");
    }

    /// <summary>A definition from its parts.</summary>
    public static ToolDefinition Create(string name, string? description, JsonObject? parameters)
    {
        var function = new JsonObject { ["name"] = name };
        if (description is not null)
            function["description"] = description;
        if (parameters is not null)
            function["parameters"] = parameters.DeepClone();
        return From(new JsonObject { ["type"] = "function", ["function"] = function });
    }
}
