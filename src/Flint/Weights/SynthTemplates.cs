namespace Flint.Weights;

/// <summary>Short chat templates (Jinja) in the formats of the shapes' families.</summary>
internal static class SynthTemplates
{
    /// <summary>Llama 3: header tokens around the role, <c>&lt;|eot_id|&gt;</c> after each turn.</summary>
    public const string Llama3 =
        """
        {{- bos_token }}
        {%- for message in messages %}
            {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}
            {{- message.content | default('', true) | trim }}
            {{- '<|eot_id|>' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
        {%- endif %}
        """;

    /// <summary>ChatML: <c>&lt;|im_start|&gt;</c>, role, newline, text, <c>&lt;|im_end|&gt;</c>.</summary>
    public const string ChatMl =
        """
        {%- for message in messages %}
            {{- '<|im_start|>' + message.role + '\n' + (message.content or '') + '<|im_end|>\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\n' }}
        {%- endif %}
        """;

    /// <summary>Muse Glimmer: turns addressed to recipients; thoughts go to <c>self</c>, calls to a tool, answers to the user.</summary>
    public const string MuseGlimmer =
        """
        {%- macro tail() %}
            {{- '\n\nReasoning strength: ' + (reasoning_strength | default('high')) + '.\n\n' }}
            {%- if tools %}
                {{- '// Function schemas\n' }}
                {%- for tool in tools %}
                    {{- tool.function | default(tool) | tojson }}
                    {{- '\n' }}
                {%- endfor %}
                {{- '\n' }}
            {%- endif %}
            {{- '# Valid recipients: "self", ' }}
            {%- for tool in tools | default([], true) %}
                {{- '"' + (tool.function | default(tool)).name.split('.')[0] + '.*", ' }}
            {%- endfor %}
            {{- '"user".<|eot|>' }}
        {%- endmacro %}
        {{- bos_token }}
        {%- if not messages or messages[0].role != 'system' %}
            {{- '<|start|>system<|message|>You are a helpful assistant.' + tail() }}
        {%- endif %}
        {%- for message in messages %}
            {%- if message.role == 'system' %}
                {{- '<|start|>system<|message|>' + message.content + tail() }}
            {%- elif message.role == 'user' %}
                {{- '<|start|>user<|message|>' + message.content + '<|eot|>' }}
            {%- elif message.role == 'tool' %}
                {%- set name = message.name | default('') %}
                {{- '<|start|>tool ' + name + '<|message|><tool_output name="' + name + '">\n' + message.content + '\n</tool_output><|eot|>' }}
            {%- elif message.role == 'assistant' %}
                {%- if message.reasoning_content %}
                    {{- '<|start|>assistant to=self<|message|>' + message.reasoning_content + '<|eom|>' }}
                {%- endif %}
                {%- for call in message.tool_calls | default([], true) %}
                    {%- set function = call.function %}
                    {{- '<|start|>assistant to=' + function.name + '<|message|><atem:function_calls>\n<atem:invoke name="' + function.name + '">\n' }}
                    {%- for key, value in function.arguments.items() %}
                        {{- '<atem:parameter name="' + key + '">' }}
                        {{- value if value is string else value | tojson }}
                        {{- '</atem:parameter>\n' }}
                    {%- endfor %}
                    {{- '</atem:invoke>\n</atem:function_calls>' + ('<|eot|>' if loop.last else '<|eom|>') }}
                {%- else %}
                    {{- '<|start|>assistant to=user<|message|>' + (message.content or '') + '<|eot|>' }}
                {%- endfor %}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|start|>assistant' }}
        {%- endif %}
        """;
}
